"""Charge a payment at most once, whichever component fails."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from payments.application.retry import refusal_of_retry
from payments.application.validate import PaymentMethods
from payments.domain.clock import Clock, iso, parse_iso
from payments.domain.errors import (
    SEVERAL_CHARGES,
    AttemptDeclined,
    Conflict,
    Declined,
    InvalidPayment,
    Misconfigured,
    NotSent,
    OutcomeUnknown,
    PaymentError,
    RateLimited,
    RequiresAction,
)
from payments.domain.outcome import NOT_CHARGED, TOO_MANY_ATTEMPTS, Outcome
from payments.domain.payment import SENDER, Payment, moved
from payments.domain.recovery_timeouts import RecoveryTimeouts
from payments.domain.statuses import Status
from payments.ports.payment_gateway import ChargeRequest, GatewayCharge, PaymentGateway
from payments.ports.payment_store import PaymentStore, VersionConflict

ACTOR = SENDER
PROVEN_NOT_CHARGED = (NotSent, RateLimited, Misconfigured, InvalidPayment)
"""The errors of a gateway call that charged nothing. A decline is not one of them: its charge can still be paid."""

MOST_VERSIONS = 1_000
"""A payment whose row has this version is not sent again. Its history then has up to 200 KB, of the 400 KB that
DynamoDB allows a row: enough room to record every outcome. 500 attempts with a rejected key take about a week."""

SENT_AGAIN_FOR = timedelta(hours=23)
"""How long after the first send of a payment it may be sent again. Stripe may forget an idempotency key after 24 hours
(docs.stripe.com/api/idempotent_requests); the request would then charge again. The hour is for a running function."""

_ASKED_ON_REQUEST = (Status.IN_REVIEW, Status.SUCCEEDED, Status.PARTIALLY_REFUNDED, Status.REFUNDED)


@dataclass(frozen=True)
class Charging:
    """Charges payments, and reconciles payments that may already be charged with the gateway.

    Three rules make it safe to crash, to repeat and to run twice at the same time:

    - Before a request is sent, the row becomes `processing` in a version of its own. It returns to `pending` only if
      that same call provably charged nothing and no other execution wrote the row meanwhile. An execution that reads
      `processing` therefore knows that a call may have charged, and queries the gateway first.
    - Every request of a payment has the same idempotency key and the same content, and nothing is sent again once the
      gateway may have forgotten the key. That the search shows no charge permits nothing: it may lag without bound.

    After `unknown`, no request to charge is sent again: only the gateway's answer ends that status. The proof that
    there is no charge is the gateway's list, which recovery reads for many payments at a time (`charge_list.py`).

    `environment_id` tells our requests from those of other environments on the same account of the gateway.

    - A retry is sent only once the payment that it is a retry of is proven uncharged (`retry.py`).
    - A payment is declined only once its charge is canceled. A declined charge can still be paid with another card.

    The class works on payments in plain text. `row_of` converts a payment to the row to store, with its private fields
    encrypted. `keep` stores the reference of a charge before it is canceled. `former_of` is that of the batch store.
    """

    gateway: PaymentGateway
    methods: PaymentMethods
    store: PaymentStore
    clock: Clock
    timeouts: RecoveryTimeouts = field(default_factory=RecoveryTimeouts)
    environment_id: str = ""
    former_of: Callable[[str], str] = lambda _: ""
    row_of: Callable[[Payment], Payment] = lambda payment: payment
    keep: Callable[[str], object] = lambda _: None

    def charge(self, payment: Payment, *, reconcile: bool = False) -> Outcome:
        """Charge a payment, or find the result of an earlier charge.

        With `reconcile`, the gateway is also queried for a payment that is settled or held for review. Raises the
        errors of `PaymentGateway` except AttemptDeclined, Conflict if the gateway charged another amount or currency
        than requested, and VersionConflict if another execution works on the payment.
        """
        try:
            return self._charge(payment, reconcile=reconcile)
        except AttemptDeclined as attempt:
            return self._decline(payment, attempt)

    def _charge(self, payment: Payment, *, reconcile: bool) -> Outcome:
        match payment.status:
            case Status.PENDING:
                return self._send(payment)
            case Status.PROCESSING:
                found = self._find(payment)
                return self._outcome(payment, found) if found else self._send_again(payment)
            case Status.UNKNOWN:
                return self._resolve(payment)
            case Status.REQUIRES_ACTION:
                return self._follow_up(payment)
            case status if reconcile and status in _ASKED_ON_REQUEST and not _was_never_sent(payment):
                found = self._find(payment)
                if found is None and status is Status.IN_REVIEW:  # it may be held before it is sent
                    return as_recorded(payment)
                return self._answer(payment, found)
        return as_recorded(payment)

    def _send_again(self, payment: Payment) -> Outcome:
        """Send a payment that may be charged, under the same key, while the gateway certainly knows the key.

        A `pending` payment needs no such limit: everything that was sent for it provably charged nothing.
        """
        if self.clock() - _first_sent(payment) >= SENT_AGAIN_FOR:
            return Outcome(
                Status.UNKNOWN, "too_late_to_send_again", "the gateway may have forgotten the key of the first attempt"
            )
        return self._send(payment)

    def _send(self, payment: Payment) -> Outcome:
        """Write the intent in a new version, which fences off executions that read the row before, and send."""
        may_be_charged = payment.status is Status.PROCESSING
        if payment.version >= MOST_VERSIONS:
            status = Status.UNKNOWN if may_be_charged else Status.FAILED
            return Outcome(
                status, TOO_MANY_ATTEMPTS, f"{payment.attempts} attempts had no result; it is not sent again"
            )
        if not payment.attempts:
            refused = refusal_of_retry(
                payment,
                store=self.store,
                gateway=self.gateway,
                environment_id=self.environment_id,
                clock=self.clock,
                linked=self.former_of,
            )
            if refused:
                return refused
        method = self.methods.of(payment)
        now = self.clock()  # read once: the due time of recovery must not move in its index when the payment succeeds
        payment = moved(
            payment,
            Status.PROCESSING,
            at=now,
            actor=ACTOR,
            attempts=payment.attempts + 1,
            attempted_at=payment.attempted_at or iso(now),
            gateway=self.gateway.name,
            # stored with the intent, so that every later attempt sends the same request under the same key
            payment_method=method.payment_method,
            gateway_customer=payment.gateway_customer if payment.attempts else method.gateway_customer,
            environment_id=payment.environment_id if payment.attempts else self.environment_id,
        )
        self.store.save(self.row_of(payment))
        try:
            charged = self.gateway.charge(_request_for(payment))
        except PROVEN_NOT_CHARGED as error:
            if may_be_charged:
                raise _earlier_unknown(error) from error
            self._revert_to_pending(payment, error)
            raise
        except Declined as error:
            if may_be_charged and not error.gateway_reference:
                raise _earlier_unknown(error) from error  # it names no charge, and an earlier call may have made one
            raise
        return self._outcome(payment, charged)

    def _revert_to_pending(self, payment: Payment, error: PaymentError) -> None:
        reverted = moved(payment, Status.PENDING, at=self.clock(), actor=ACTOR, code=error.code, message=error.message)
        try:
            self.store.save(self.row_of(reverted))
        except VersionConflict:
            # another execution read our intent and may have sent it: this failed call proves nothing any more
            raise _earlier_unknown(error) from error

    def _find(self, payment: Payment) -> GatewayCharge | None:
        held = payment.status is Status.IN_REVIEW and payment.code == SEVERAL_CHARGES  # the reference shows only one
        reference = "" if held else payment.gateway_reference
        try:
            return self.gateway.find(payment.payment_id, reference, environment_id=payment.environment_id)
        except PROVEN_NOT_CHARGED as error:
            raise _earlier_unknown(error) from error

    def _resolve(self, payment: Payment) -> Outcome:
        """Resolve an unknown payment: proven absent, found, or still unknown."""
        if payment.is_proven_absent:
            return Outcome(
                Status.FAILED,
                NOT_CHARGED,
                "the charge got no answer, and the gateway's list has no such charge: nothing was charged",
            )
        found = self._find(payment)
        return self._outcome(payment, found) if found else as_recorded(payment)

    def _follow_up(self, payment: Payment) -> Outcome:
        """Handle a payment whose customer must authenticate. After the time for it, the payment is declined."""
        try:
            return self._answer(payment, self._find(payment))
        except RequiresAction as waits:
            if self.clock() - parse_iso(payment.updated_at) < self.timeouts.authentication:
                raise
            raise AttemptDeclined(
                "authentication_abandoned",
                "the customer did not authenticate the payment in time",
                gateway_reference=waits.gateway_reference,
            ) from None

    def _decline(self, payment: Payment, attempt: AttemptDeclined) -> Outcome:
        """Cancel the charge of a declined attempt, and decline the payment with the attempt's code.

        If another card paid the charge first, the payment succeeded. Without an answer to the cancel, the payment is
        not declined yet: its reference is kept, and the next execution asks about it and cancels again.
        """
        reference = attempt.gateway_reference
        if not reference:
            raise OutcomeUnknown(attempt.code, "the gateway declined the payment, and names no charge to cancel")
        if reference != payment.gateway_reference:
            self.keep(reference)
        declined = Declined(attempt.code, attempt.message, gateway_reference=reference)
        try:
            if self.gateway.cancel(reference):
                raise declined
            return self._answer(payment, self._find(replace(payment, gateway_reference=reference)))
        except Declined:
            raise declined from None
        except (AttemptDeclined, RequiresAction):
            raise OutcomeUnknown(
                "not_canceled", "the gateway did not cancel the declined charge", gateway_reference=reference
            ) from None
        except PROVEN_NOT_CHARGED as error:
            raise _earlier_unknown(error) from error

    def _answer(self, payment: Payment, found: GatewayCharge | None) -> Outcome:
        """The outcome of a charge that exists. Raises OutcomeUnknown if the search does not show it."""
        if found is None:
            raise OutcomeUnknown("charge_not_shown", "the gateway's search does not show the payment's charge")
        return self._outcome(payment, found)

    def _outcome(self, payment: Payment, charged: GatewayCharge) -> Outcome:
        # a full refund ends a conflict: this is how an operator resolves one
        if charged.money != payment.money and charged.status is not Status.REFUNDED:
            raise Conflict(
                "amount_differs",
                f"requested {payment.money}, the gateway reports {charged.money}; compare both and correct it manually",
                gateway_reference=charged.reference,
            )
        return Outcome(
            charged.status,
            gateway=self.gateway.name,
            gateway_reference=charged.reference,
            refunded_minor_units=charged.refunded_minor_units,
            seen_version=payment.version,
        )


def may_call_gateway(payment: Payment, *, reconcile: bool) -> bool:
    """Whether `charge` calls the gateway for this payment."""
    always = (Status.PENDING, Status.PROCESSING, Status.UNKNOWN, Status.REQUIRES_ACTION)
    asked = reconcile and payment.status in _ASKED_ON_REQUEST and not _was_never_sent(payment)
    return payment.status in always or asked


def _was_never_sent(payment: Payment) -> bool:
    """Whether the payment was held before its first attempt. A charge with its id is then another system's."""
    return payment.status is Status.IN_REVIEW and not payment.attempts


def as_recorded(payment: Payment) -> Outcome:
    """The outcome that the payment's row already holds."""
    return Outcome(
        payment.status,
        payment.code,
        payment.message,
        payment.gateway,
        payment.gateway_reference,
        payment.reference_digest,
    )


def _first_sent(payment: Payment) -> datetime:
    return parse_iso(payment.attempted_at or payment.created_at)


def _request_for(payment: Payment) -> ChargeRequest:
    return ChargeRequest(
        payment.payment_id,
        payment.money,
        payment.payment_method,
        payment.description,
        payment.metadata,
        payment.environment_id,
        payment.gateway_customer,
        # a card that is attached to no customer would be used up by "authentication required"
        off_session=payment.off_session and bool(payment.gateway_customer),
        return_url=payment.return_url,
    )


def _earlier_unknown(error: PaymentError) -> PaymentError:
    """The meaning of an error for a payment that may be charged: this call charged nothing, an earlier one may have.

    RateLimited stays what it is: the workflow waits in every status of the payment.
    """
    if isinstance(error, RateLimited):
        return error
    return OutcomeUnknown(
        "earlier_attempt_unknown",
        f"an earlier call may have charged, and the query to the gateway failed: {error.code}",
    )
