"""When recovery must look at a refund, and which refunds an operator must look at."""

from datetime import datetime, timedelta

from payments.domain.clock import iso, parse_iso
from payments.domain.due import NEVER, Due, Kind
from payments.domain.recovery_timeouts import RecoveryTimeouts
from payments.domain.refund import Refund
from payments.domain.refund_approval import APPROVAL_WAIT
from payments.domain.refund_statuses import ENDED, RefundStatus

FUNCTION_SECONDS = 90
"""The time-out of the function that sends refunds, and a reserve. A request of it cannot begin later."""
_LONGEST_BACKOFF, _LONGEST_BACKOFF_AT_GATEWAY = 12, 48
"""The most units between two looks: one hour, at five minutes a unit; four hours while the bank carries it out."""


def refund_due(refund: Refund, timeouts: RecoveryTimeouts, now: datetime) -> Due | None:
    """When recovery must look at a refund next, as of `now`; None if nothing is left to do.

    Each write of a row stores it in the index `by-due`. The operators' list is the kind REFUND_ATTENTION: refunds that
    failed late, refunds without an answer for too long, which recovery still looks at, and refunds that wait for an
    approval for too long.
    """
    if refund.status in ENDED:
        return Due(Kind.REFUND_ATTENTION, NEVER) if refund.attention else None
    if refund.status is RefundStatus.PENDING_APPROVAL:
        overdue_at = parse_iso(refund.created_at) + APPROVAL_WAIT
        return Due(Kind.REFUND_ATTENTION, NEVER) if now >= overdue_at else Due(Kind.REFUND_APPROVAL, iso(overdue_at))
    at, overdue_at = look_at(refund, timeouts), _accepted_at(refund) + timeouts.overdue
    if refund.attention:
        return Due(Kind.REFUND_ATTENTION, iso(at))
    if refund.gateway_reference:
        return Due(Kind.REFUND_OPEN, iso(at))
    if now >= overdue_at:
        return Due(Kind.REFUND_ATTENTION, iso(at))
    return Due(Kind.REFUND_OPEN, iso(min(at, overdue_at)))


def look_at(refund: Refund, timeouts: RecoveryTimeouts) -> datetime:
    """When recovery looks at an open refund that does not change before. The wait doubles with each restart."""
    first, longest = 1, _LONGEST_BACKOFF
    if refund.gateway_reference:
        first, longest = 3, _LONGEST_BACKOFF_AT_GATEWAY  # the gateway's event usually arrives earlier
    elif refund.status is RefundStatus.PROCESSING:
        first = 2
    units: int = min(first * 2 ** min(refund.restarts, 10), longest)
    at = parse_iso(max(refund.updated_at, refund.restarted_at)) + units * timeouts.unit
    return max(at, parse_iso(refund.not_before)) if refund.not_before else at


def is_provable(refund: Refund, timeouts: RecoveryTimeouts, now: datetime) -> bool:
    """Whether the gateway's list of refunds, read at `now`, proves that a refund without an answer does not exist.

    The fence is the row's version: an execution that sends it again writes a new one. The function that wrote this one
    has ended by now, and its request has either arrived or never will.
    """
    longest = max(timeouts.unit, timedelta(seconds=FUNCTION_SECONDS))
    return now - parse_iso(refund.sent_at or refund.updated_at) >= longest + timedelta(seconds=FUNCTION_SECONDS)


def _accepted_at(refund: Refund) -> datetime:
    accepted = (change.at for change in refund.history if change.status is not RefundStatus.PENDING_APPROVAL)
    return parse_iso(next(accepted, refund.created_at))
