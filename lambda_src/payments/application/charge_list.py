"""Reads the gateway's list of charges once for many payments, and says of each whether it was charged.

The list has no delay, unlike the search. It proves that a payment was not charged if it covers the whole time in which
the payment may have been sent, and if that time is over when the reading begins.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from payments.application.gateway_rate_limiter import GatewayRateLimiter
from payments.domain.clock import Clock, parse_iso
from payments.domain.payment import Payment
from payments.domain.recovery_timeouts import RecoveryTimeouts
from payments.domain.sealed_fields import context_of, reference_digest
from payments.domain.sealed_text import REFERENCE
from payments.domain.statuses import Status
from payments.ports.charge_finder import ChargeFinder
from payments.ports.field_encryptor import FieldEncryptor
from payments.ports.payment_gateway import Listed, ListedCharge, PaymentGateway
from payments.ports.payment_store import PaymentStore
from payments.ports.slot_counter import NoFreeSlot

SENDS_FOR = timedelta(seconds=90)
"""How long after its intent a charge function may still send: its time-out of 80 seconds, and a margin."""
CLOCKS_DIFFER = timedelta(minutes=1)
"""How much our clock and the gateway's may differ."""
LONGEST_WINDOW = timedelta(minutes=30)
"""The longest time that is read for several payments together. The oldest window is read first."""
MOST_PAGES = 1_000
"""The most pages of one reading: 100,000 charges of 100 a page. At five pages a second that takes 200 seconds."""
SLOTS_A_PAGE = 5
"""Pages have a rate of their own: one for every five requests that the gateway's rate allows for payments."""


@dataclass(frozen=True)
class ChargeList:
    """The gateway's list of charges. `rate_limiter` hands out the slots of its pages."""

    gateway: PaymentGateway
    payments: PaymentStore
    encryptor: FieldEncryptor
    rate_limiter: GatewayRateLimiter
    clock: Clock
    timeouts: RecoveryTimeouts

    def can_answer(self, payment: Payment) -> bool:
        """Whether the payment's outcome is unknown, and the time in which it may have been sent is over."""
        asks = payment.status is Status.UNKNOWN and not payment.gateway_reference and not payment.is_proven_absent
        return asks and self.clock() - parse_iso(payment.updated_at) >= self.timeouts.proof

    def answer(self, payments: Sequence[Payment], may_go_on: Callable[[], bool]) -> Iterator[Payment]:
        """Write to each payment's row the reference of its charge, or that it provably has none.

        Takes payments that it can answer, and yields each one once its row has the answer. The reading ends early
        without a slot, after `MOST_PAGES`, or when `may_go_on` says so; the other payments then wait for the next one.
        Raises RateLimited, NotSent, OutcomeUnknown, Misconfigured and EncryptionUnavailable.
        """
        pages = iter(range(MOST_PAGES))

        def next_page(since: datetime, until: datetime, after: str) -> Listed | None:
            if next(pages, None) is None or not may_go_on():
                return None
            try:
                self.rate_limiter.take()()
            except NoFreeSlot:
                return None
            return self.gateway.listed(since, until, after)

        unread = {_ids(payment): len(_windows(payment)) for payment in payments}
        found: dict[_Ids, list[ListedCharge]] = {ids: [] for ids in unread}
        for waiting in _groups(payments):
            since, until, after = waiting[0].since, max(window.until for window in waiting), ""
            while waiting:
                page = next_page(since, until, after)
                if page is None:
                    return
                for charge in page.charges:
                    ids = charge.payment_id, charge.environment_id
                    if ids in found:  # an account has many other charges
                        found[ids].append(charge)
                after = page.next_page
                # the list goes back in time: the windows that begin last are read first
                while waiting and (not after or (page.oldest_at and page.oldest_at < waiting[-1].since)):
                    payment = waiting.pop().payment
                    unread[_ids(payment)] -= 1
                    if not unread[_ids(payment)]:
                        charges = found[_ids(payment)]
                        # of several captured ones none is chosen: a search shows all, and the payment is held
                        if sum(charge.captured for charge in charges) <= 1:
                            self._keep(payment, _best(charges))
                            yield payment

    def _keep(self, payment: Payment, reference: str) -> None:
        if not reference:
            self.payments.prove_absent(payment)
            return
        payment_id = payment.payment_id
        sealed = self.encryptor.seal(context_of(payment_id), {REFERENCE: reference})[REFERENCE]
        self.payments.keep_reference(payment_id, sealed, reference_digest(payment_id, reference))


def listed_charges(
    payment: Payment, environment_id: str, gateway: ChargeFinder, may_go_on: Callable[[], bool]
) -> list[ListedCharge] | None:
    """The charges that the list has under a payment's two ids, from the time of its attempts; none without an attempt.

    None if `may_go_on` ended the reading before every page was read. Raises the errors of `listed`.
    """
    found: list[ListedCharge] = []
    if not payment.attempts and not _intents(payment):
        return found
    for group in _groups([payment]):
        since, until, after = group[0].since, max(window.until for window in group), ""
        while True:
            if not may_go_on():
                return None
            page = gateway.listed(since, until, after)
            ids = payment.payment_id, environment_id
            found += [charge for charge in page.charges if (charge.payment_id, charge.environment_id) == ids]
            after = page.next_page
            if not after or (page.oldest_at and page.oldest_at < since):
                break
    return found


@dataclass(frozen=True, slots=True)
class _Window:
    """A time, on the gateway's clock, in which an attempt may have charged a payment."""

    payment: Payment
    since: datetime
    until: datetime


_Ids = tuple[str, str]


def _ids(payment: Payment) -> _Ids:
    return payment.payment_id, payment.environment_id


def _windows(payment: Payment) -> list[_Window]:
    """One window for each intent to send. The gateway's times are whole seconds."""
    return [
        _Window(payment, (at - CLOCKS_DIFFER).replace(microsecond=0), at + SENDS_FOR + CLOCKS_DIFFER)
        for at in _intents(payment) or [parse_iso(payment.updated_at)]
    ]


def _intents(payment: Payment) -> list[datetime]:
    return [parse_iso(change.at) for change in payment.history if change.status is Status.PROCESSING]


def _groups(payments: Sequence[Payment]) -> list[list[_Window]]:
    """The windows that overlap, together, in the order in which they begin."""
    groups: list[list[_Window]] = []
    ends = None
    for window in sorted((w for payment in payments for w in _windows(payment)), key=lambda window: window.since):
        if ends and window.since <= ends and window.until - groups[-1][0].since <= LONGEST_WINDOW:
            groups[-1].append(window)
            ends = max(ends, window.until)
        else:
            groups.append([window])
            ends = window.until
    return groups


def _best(charges: list[ListedCharge]) -> str:
    """The reference of the captured charge among several of one payment, else of one that may still capture."""
    best = max(charges, key=lambda charge: (charge.captured, charge.may_capture), default=None)
    return best.reference if best else ""
