"""Retry: send a payment that ended without a charge again, as another payment with an id of its own.

The gateway is asked about the old payment first, and the old row names its retry by a conditional write. Both happen
for every retry, whether it comes over the retry's route, from payctl, or as a row or request under the retry's id.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from payments.application.charge_list import listed_charges
from payments.application.sealed_payments import opened
from payments.domain.clock import Clock, utc_now
from payments.domain.errors import (
    UNKNOWN_STATUS,
    AttemptDeclined,
    Conflict,
    Declined,
    NotSent,
    OutcomeUnknown,
    RequiresAction,
)
from payments.domain.outcome import Outcome
from payments.domain.payment import Payment
from payments.domain.retry import (
    RETRY_REFUSED,
    former_id_of,
    is_retry_of,
    is_shortened,
    may_be_retried,
    retried,
    retry_id_of,
)
from payments.domain.sealed_text import is_sealed
from payments.domain.statuses import Status
from payments.domain.token import TokenStatus
from payments.ports.charge_finder import ChargeFinder
from payments.ports.field_encryptor import FieldEncryptor
from payments.ports.payment_store import AlreadyExists, PaymentStore, require
from payments.ports.token_store import TokenStore
from payments.ports.workflow import Workflow

_ASKED_ABOUT = (Status.PROCESSING, Status.UNKNOWN, Status.REQUIRES_ACTION)
"""The statuses of a payment that may be charged, which the gateway's answer ends."""
READS_FOR = timedelta(seconds=8)
"""How long the gateway's list is read for one retry. The API function ends after 20 seconds."""
LIST_NOT_READ = "list_not_read"
"""The code of a NotSent: the gateway's list could not be read to its end in time, so that nothing was sent."""


class RetryRefused(Exception):
    """The payment must not be sent again. The text says why. Nothing was written."""

    def __init__(self, payment: Payment, why: str) -> None:
        self.payment = payment
        super().__init__(why)


class NotRetryable(RetryRefused):
    """The payment did not end `failed`: it may be charged, or has an answer that a retry does not change. `asked`: the
    gateway is being asked about it, so that a later try has an answer."""

    asked = False


class ChargeFound(RetryRefused):
    """The gateway has a charge for a payment that ended without one."""


class ListNotRead(RetryRefused):
    """The gateway's list has too many charges to be read in time. A later try may have less to read, or more time."""


class RetryIdTaken(RetryRefused):
    """An unrelated payment has the retry's id."""


class TokenSpent(RetryRefused):
    """The payment's token cannot be charged any more."""


class Retry(NamedTuple):
    """The retry's row, and whether it existed before this call."""

    payment: Payment
    repeated: bool


@dataclass(frozen=True)
class Retries:
    """Sends failed payments again. `check` is called with the retry's id before it is stored and may refuse it. `store`
    encrypts the private fields of what it creates. Without `tokens`, the workflow checks a token. A retry that
    its batch holds (`held`) is not started. The gateway's list is read for `reads_for` at most."""

    store: PaymentStore
    gateway: ChargeFinder
    encryptor: FieldEncryptor
    workflow: Workflow
    environment_id: str
    check: Callable[[str], object] = lambda _: None
    tokens: TokenStore | None = None
    held: Callable[[Payment], bool] = lambda _: False
    clock: Clock = utc_now
    reads_for: timedelta = READS_FOR

    def retry(self, payment_id: str, *, by: str, at: datetime, correlation_id: str = "") -> Retry:
        """Send a payment again and return its retry; the same one if it was already sent again. Safe to repeat.

        Raises RetryRefused, LookupError if the payment is not stored, the errors of the gateway's `find` and `listed`,
        and those of the encryptor.
        """
        former = require(self.store, payment_id)
        if not may_be_retried(former):
            refused = NotRetryable(
                former, f"payment {payment_id} is {former.status}; only a failed payment is sent again"
            )
            refused.asked = self._ask_about(former, at)
            raise refused
        retry_id = retry_id_of(payment_id)
        payment, repeated = self._linked(former, self.store.get(retry_id)), True
        if payment is None:
            self.check(retry_id)
            self._check_token(former, at)
            require_uncharged(
                former,
                gateway=self.gateway,
                environment_id=self.environment_id,
                clock=self.clock,
                reads_for=self.reads_for,
            )
        self.store.mark_retried(former, retry_id)
        if payment is None:
            new = retried(opened(former, self.encryptor), by=by, at=at, correlation_id=correlation_id)
            payment, repeated = self._created(former, new)
        if payment.status is Status.PENDING and not (repeated and self.held(payment)):
            self.workflow.start(retry_id)
        return Retry(payment, repeated)

    def _ask_about(self, former: Payment, at: datetime) -> bool:
        """Query the gateway for a payment that may be charged, by another execution, at most once a minute."""
        if former.status not in _ASKED_ABOUT:
            return False
        minute = int(at.timestamp()) // 60
        self.workflow.restart(former.payment_id, f"q{minute:x}", reconcile=True)
        return True

    def _created(self, former: Payment, new: Payment) -> Retry:
        try:
            self.store.create(new)
        except AlreadyExists as known:
            self._linked(former, known.existing)
            return Retry(known.existing, repeated=True)
        return Retry(new, repeated=False)

    def _linked(self, former: Payment, existing: Payment | None) -> Payment | None:
        if existing is not None and not is_retry_of(existing, former):
            raise RetryIdTaken(former, f"its retry's id {existing.payment_id} belongs to a payment with other content")
        return existing

    def _check_token(self, former: Payment, at: datetime) -> None:
        if not former.token_id or self.tokens is None:
            return
        token = self.tokens.get(former.token_id)
        if token is None or token.status(at) is not TokenStatus.ACTIVE:
            state = token.status(at) if token else "unknown"
            raise TokenSpent(former, f"its token is {state}; send a new payment with a new token")


def last_of(payment: Payment, store: PaymentStore) -> Payment:
    """The last stored payment among a payment and its retries. It may name a retry that was not stored any more: the
    call that noted the retry ended before it created it. Another `retry` of that payment creates it."""
    while payment.retried_as and (following := store.get(payment.retried_as)) is not None:
        payment = following
    return payment


def refusal_of_retry(
    payment: Payment,
    *,
    store: PaymentStore,
    gateway: ChargeFinder,
    environment_id: str,
    clock: Clock,
    linked: Callable[[str], str] = lambda _: "",
) -> Outcome | None:
    """Why a payment that is about to be sent must not be, because it is a retry; None if it may be sent.

    `linked` returns what a batch's report noted about a retry's id that is shortened: the id of the payment before it.
    Costs nothing for a payment that is no retry. Otherwise the payment before it must have ended without a charge, the
    gateway is asked about it, and its row names this retry before it returns. Raises the errors of `find` and `listed`,
    and NotSent if the list could not be read in time.
    """
    while former := _former(payment, store, linked):
        why = ""
        if not may_be_retried(former):
            why = f"it is the retry of {former.payment_id}, which is {former.status}"
        else:
            try:
                require_uncharged(former, gateway=gateway, environment_id=environment_id, clock=clock)
            except ChargeFound as found:
                why = str(found)
            except ListNotRead as unread:
                raise NotSent(LIST_NOT_READ, f"{unread}; nothing was sent") from None
        if why:
            return Outcome(Status.REJECTED, RETRY_REFUSED, f"{why}; nothing was sent")
        store.mark_retried(former, payment.payment_id)
        if former.status is Status.FAILED:
            return None
        payment = former  # refused itself, for the sake of the one before it
    return None


def require_uncharged(
    former: Payment,
    *,
    gateway: ChargeFinder,
    environment_id: str,
    clock: Clock,
    reads_for: timedelta = READS_FOR,
) -> None:
    """Ask the gateway about a payment that ended without a charge.

    The search is asked first: it also shows charges of another time. It may lag. The list does not, and is read over
    the time of each attempt: a payment that ended has no request left that is still under way.

    A charge that can still be paid counts, and so does a refunded one: an operator looks at it first. Raises
    ChargeFound, ListNotRead, and the errors of `find` and `listed`.
    """
    payment_id = former.payment_id
    reference = "" if is_sealed(former.gateway_reference) else former.gateway_reference
    sent_from = former.environment_id if former.attempts else environment_id
    found = ChargeFound(former, f"the gateway has a charge for payment {payment_id}")
    try:
        charge = gateway.find(payment_id, reference, environment_id=sent_from)
    except Declined:
        charge = None  # nothing can pay it any more; the list shows whether there is another one
    except (AttemptDeclined, RequiresAction, Conflict):
        raise found from None
    except OutcomeUnknown as error:
        if error.code == UNKNOWN_STATUS:
            raise found from None
        # without its reference, which is that of another payment's charge
        raise OutcomeUnknown(error.code, error.message, outage=error.outage) from None
    if charge is not None:
        raise found
    ends = clock() + reads_for
    charges = listed_charges(former, sent_from, gateway, lambda: clock() < ends)
    if charges is None:
        raise ListNotRead(
            former, f"the gateway's list has too many charges of the time in which {payment_id} was sent to be read now"
        )
    if any(charge.may_capture for charge in charges):
        raise found


def _former(payment: Payment, store: PaymentStore, linked: Callable[[str], str]) -> Payment | None:
    """The payment that this one is a retry of, or None."""
    former_id = payment.retry_of
    if not former_id and is_shortened(payment.payment_id):
        former_id = linked(payment.payment_id)
    former_id = former_id or former_id_of(payment.payment_id)
    former = store.get(former_id) if former_id else None
    return former if former is not None and is_retry_of(payment, former) else None
