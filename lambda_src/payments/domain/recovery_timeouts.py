"""How long a payment may stay as it is before somebody does something about it: the one table of waits."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from payments.domain.clock import parse_iso
from payments.domain.payment import Payment
from payments.domain.statuses import Status

_LONGEST_BACKOFF = 12
"""Units between two restarts of a payment at most: an hour, at five minutes a unit."""


@dataclass(frozen=True, slots=True)
class RecoveryTimeouts:
    """All waits, in units of one setting. Five minutes let Stripe's search catch up (it lags up to a minute) and
    let a workflow end by itself (it takes seconds, and minutes when the gateway is busy)."""

    unit: timedelta = timedelta(minutes=5)

    @property
    def proof(self) -> timedelta:
        """How long after a payment became `unknown` the gateway's "no such charge" is proof that there is none."""
        return 2 * self.unit

    @property
    def authentication(self) -> timedelta:
        """How long a customer may take to authenticate: a day at five minutes a unit."""
        return 288 * self.unit

    @property
    def overdue(self) -> timedelta:
        """How long a payment may be open before a person is alarmed: an hour."""
        return 12 * self.unit

    def is_due(self, payment: Payment, now: datetime) -> bool:
        """Whether an unsettled payment should be taken up again: each time it has to wait twice as long."""
        units: int = min(_FIRST_WAIT[payment.status] * 2**payment.restarts, _LONGEST_BACKOFF)
        return now - parse_iso(max(payment.updated_at, payment.restarted_at)) >= units * self.unit


_FIRST_WAIT: dict[Status, int] = dict.fromkeys(Status, 1) | {
    Status.PROCESSING: 2,  # the workflow may still be at it: it safely could be joined, but need not
    Status.REQUIRES_ACTION: 3,  # the gateway's event tells sooner
}
"""Units until a payment in this status is first taken up again. One that is settled and still not audited is, too:
its workflow died between the two."""
