"""How long a payment may stay in a status before recovery acts on it: all time-outs in one table."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from payments.domain.clock import iso, parse_iso
from payments.domain.payment import Payment
from payments.domain.statuses import Status

_LONGEST_BACKOFF = 12
"""The most units between two restarts of a payment: one hour, at five minutes a unit."""


@dataclass(frozen=True, slots=True)
class RecoveryTimeouts:
    """All time-outs, in units of one setting. Five minutes let Stripe's search index catch up (it lags up to a minute)
    and let a workflow finish (it takes seconds, and minutes when the gateway is busy)."""

    unit: timedelta = timedelta(minutes=5)

    @property
    def proof(self) -> timedelta:
        """How long after a payment became `unknown` the gateway's list proves that there is no charge: longer than the
        charge function may still run."""
        return 2 * self.unit

    @property
    def authentication(self) -> timedelta:
        """How long a customer may take to authenticate: a day at five minutes a unit."""
        return 288 * self.unit

    @property
    def rate_limit(self) -> timedelta:
        """How long a payment waits for a gateway that answers 429, from the first 429 on: a day at five minutes a
        unit."""
        return 288 * self.unit

    @property
    def overdue(self) -> timedelta:
        """How long a payment may stay open before an alarm notifies an operator: one hour."""
        return 12 * self.unit

    def is_due(self, payment: Payment, now: datetime) -> bool:
        """Whether recovery should restart an unsettled payment. The wait doubles with each restart.

        A payment that must wait for the gateway is not due before that time; its workflow may have ended meanwhile.
        """
        if iso(now) < payment.not_before:
            return False
        units: int = min(_FIRST_WAIT[payment.status] * 2**payment.restarts, _LONGEST_BACKOFF)
        return now - parse_iso(max(payment.updated_at, payment.restarted_at)) >= units * self.unit


_FIRST_WAIT: dict[Status, int] = dict.fromkeys(Status, 1) | {
    Status.PROCESSING: 2,  # a workflow may still be running; a second one is safe but not needed
    Status.REQUIRES_ACTION: 3,  # the gateway's event usually arrives earlier
}
"""Units until the first restart of a payment in this status. It includes payments that are settled but not audited:
their workflow failed between the two steps."""
