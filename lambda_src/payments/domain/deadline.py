"""The deadline of a payment that was provably not charged: the only end of its waiting for the gateway."""

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta

from payments.domain.batch.switch import Switch
from payments.domain.batch_breaker import BreakerState
from payments.domain.clock import parse_iso
from payments.domain.errors import GATEWAY_UNREACHABLE, LOCK_TIMEOUT, RATE_LIMIT, RESOURCE_RATE_LIMIT
from payments.domain.payment import SENDER, Payment
from payments.domain.statuses import Status

MISSED = "gateway_deadline"
"""The code of a payment that failed at its deadline."""
REFUSALS = (GATEWAY_UNREACHABLE, RATE_LIMIT, LOCK_TIMEOUT, RESOURCE_RATE_LIMIT)
"""The codes of the refusals from which a payment's deadline counts: every 429 has one of them."""
_NO_BATCH = Switch()
_Stop = tuple[datetime, datetime | None]
"""A time in which the clock stands: its begin, and its end, or None while it lasts."""


def first_refused_at(payment: Payment) -> datetime | None:
    """When the gateway was out of reach for the payment for the first time, or too busy; None if it never was.

    A payment that the breaker holds before its first attempt was not refused. A key that the gateway rejects is our
    error, not an outage: it sets no deadline.
    """
    refusals = (change.at for change in payment.history if change.actor == SENDER and change.code in REFUSALS)
    first = next(refusals, None)
    return parse_iso(first) if first else None


def deadline_of(
    payment: Payment, allowed: timedelta, breaker: BreakerState, switch: Switch = _NO_BATCH
) -> datetime | None:
    """When a payment ends `failed` that was not charged until then, as far as is known now.

    None if it has no deadline: it was never refused, or its clock stands now. The clock stands while the payment is
    held for review, and while an operator has paused the breaker, or its batch: `switch` is that of its batch.
    """
    since = first_refused_at(payment)
    if since is None:
        return None
    ends = since + allowed
    for begin, end in _merged(_stops(payment, breaker, switch)):
        if begin >= ends:
            break
        if end is None:
            return None
        ends += max(end - max(begin, since), timedelta(0))
    return ends


def is_missed(
    payment: Payment, allowed: timedelta, breaker: BreakerState, now: datetime, switch: Switch = _NO_BATCH
) -> bool:
    """Whether a `pending` payment must end now."""
    ends = deadline_of(payment, allowed, breaker, switch) if payment.status is Status.PENDING else None
    return ends is not None and now >= ends


def _stops(payment: Payment, breaker: BreakerState, switch: Switch) -> Iterator[_Stop]:
    for pause in (*breaker.pauses, *switch.pauses):
        yield parse_iso(pause.since), parse_iso(pause.until)
    if breaker.by_operator:
        yield parse_iso(breaker.operator_paused_since), None
    if switch.is_paused:
        yield parse_iso(switch.at), None
    for change, following in zip(payment.history, [*payment.history[1:], None], strict=True):
        if change.status is Status.IN_REVIEW:
            yield parse_iso(change.at), parse_iso(following.at) if following else None


def _merged(stops: Iterable[_Stop]) -> Iterator[_Stop]:
    """The stops in their order, without overlaps."""
    covered: datetime | None = None
    for begin, end in sorted(stops, key=lambda stop: stop[0]):
        if covered is not None and end is not None and end <= covered:
            continue
        yield (max(begin, covered) if covered is not None else begin), end
        if end is None:
            return
        covered = end
