"""How long a payment may stay in a status before recovery acts on it: all time-outs in one table."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from payments.domain.clock import iso, parse_iso
from payments.domain.due import NEVER, Due, Kind
from payments.domain.fraud_hold import is_held
from payments.domain.payment import Payment
from payments.domain.statuses import SETTLED, Status

_LONGEST_BACKOFF = 12
"""The most units between two restarts of a payment: one hour, at five minutes a unit."""
_LONGEST_BACKOFF_FOR_CUSTOMER = 48
"""The same while its customer must authenticate: four hours. The gateway's event usually arrives earlier."""


@dataclass(frozen=True, slots=True)
class RecoveryTimeouts:
    """All time-outs, in units of one setting but for the deadline. Five minutes let Stripe's search index catch up (it
    lags up to a minute) and let a workflow finish (it takes seconds, and minutes when the gateway is busy)."""

    unit: timedelta = timedelta(minutes=5)
    deadline: timedelta = timedelta(hours=24)
    """How long a payment that was provably not charged waits for the gateway, from its first refusal on."""
    fraud_hold: timedelta = timedelta(hours=72)
    """How long a payment that a fraud rule holds waits for an operator."""

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
    def overdue(self) -> timedelta:
        """How long a payment may stay open before an alarm notifies an operator: one hour."""
        return 12 * self.unit

    @property
    def pause_reminder(self) -> timedelta:
        """How long a batch may stay paused before an alarm reminds of it: four hours."""
        return 48 * self.unit

    @property
    def next_run(self) -> timedelta:
        """The least time until recovery looks at a row again: a fifth of a unit, one minute."""
        return self.unit // 5

    def is_due(self, payment: Payment, now: datetime) -> bool:
        """Whether recovery should restart an unsettled payment."""
        return now >= self.restart_at(payment)

    def restart_at(self, payment: Payment) -> datetime:
        """When recovery restarts an unsettled payment that does not change before. The wait doubles with each restart.

        A payment that must wait for the gateway is not restarted before that time; its workflow may have ended
        meanwhile. One whose customer must authenticate is restarted when the customer's time is over.
        """
        since = parse_iso(max(payment.updated_at, payment.restarted_at))
        waits_for_customer = payment.status is Status.REQUIRES_ACTION
        longest = _LONGEST_BACKOFF_FOR_CUSTOMER if waits_for_customer else _LONGEST_BACKOFF
        units: int = min(_FIRST_WAIT[payment.status] * 2**payment.restarts, longest)
        at = since + units * self.unit
        if waits_for_customer:
            over = _sent_at(payment) + self.authentication
            at = min(at, over) if since < over else min(at, since + _LONGEST_BACKOFF * self.unit)
        return max(at, parse_iso(payment.not_before)) if payment.not_before else at

    def overdue_at(self, payment: Payment) -> datetime | None:
        """From when on an operator must look at an open payment; None if never. A customer may take a day to
        authenticate, and a gateway several days to settle."""
        if payment.settles or payment.status is Status.IN_REVIEW:
            return None
        longest = self.overdue
        if payment.status is Status.REQUIRES_ACTION:  # the first restart after that day declines it
            longest = self.authentication + 2 * self.overdue
        return _sent_at(payment) + longest

    def hold_ends(self, payment: Payment) -> datetime:
        """When recovery decides on a payment that a fraud rule holds, if no operator did."""
        return parse_iso(payment.updated_at) + self.fraud_hold

    def due(self, payment: Payment, now: datetime) -> Due | None:
        """When recovery must look at a payment next, as of `now`; None if nothing is left to do.

        This is the one place that decides it. Each write of a row stores it in the index `by-due`. A payment of a batch
        that was never started waits in the queue; recovery finds it by its batch.
        """
        audited = payment.audited_version == payment.version
        if (payment.status in SETTLED and audited) or (payment.source == "batch" and payment.version == 1):
            return None
        if payment.status is Status.IN_REVIEW:
            if not audited:
                return Due(Kind.REVIEW, iso(self.restart_at(payment)))
            return Due(Kind.REVIEW, iso(self.hold_ends(payment)) if is_held(payment) else NEVER)
        since_accepted = parse_iso(payment.created_at) + _FIRST_WAIT[Status.PENDING] * self.unit
        if payment.source == "rest" and payment.status in _ORDINARY and not payment.restarts and now < since_accepted:
            return Due(Kind.PENDING, iso(since_accepted))  # as on acceptance: a move in the index costs writes
        at, overdue_at = self.restart_at(payment), self.overdue_at(payment)
        first_look = _sent_at(payment) + _FIRST_WAIT[Status.PROCESSING] * self.unit
        if payment.status in SETTLED and now < first_look <= at:
            at = first_look  # as the processing version before it: an ordinary payment does not move in the index
        if self._waits_for_proof(payment):
            at = min(at, parse_iso(payment.updated_at) + self.proof)
        if overdue_at is None:
            return Due(_kind(payment), iso(at))
        return Due(Kind.LATE, iso(at)) if now >= overdue_at else Due(_kind(payment), iso(min(at, overdue_at)))

    def _waits_for_proof(self, payment: Payment) -> bool:
        """Whether the gateway's list will answer for it before its next restart."""
        proof_at = parse_iso(payment.updated_at) + self.proof
        answers = payment.status is Status.UNKNOWN and not payment.gateway_reference and not payment.is_proven_absent
        return answers and iso(proof_at) > payment.restarted_at


def _sent_at(payment: Payment) -> datetime:
    return parse_iso(payment.attempted_at or payment.created_at)


def _kind(payment: Payment) -> Kind:
    match payment.status:
        case Status.PENDING:
            return Kind.PENDING_BATCH if payment.source == "batch" else Kind.PENDING
        case Status.REQUIRES_ACTION:
            return Kind.CUSTOMER
    return Kind.CUSTOMER if payment.settles else Kind.OPEN


_ORDINARY = {Status.PROCESSING} | SETTLED
"""The statuses after `pending` of a payment that nothing delays. Almost all leave them before recovery looks."""
_FIRST_WAIT: dict[Status, int] = dict.fromkeys(Status, 1) | {
    Status.PROCESSING: 2,  # a workflow may still be running; a second one is safe but not needed
    **dict.fromkeys(SETTLED, 2),
    Status.REQUIRES_ACTION: 3,  # the gateway's event usually arrives earlier
}
"""Units until the first restart of a payment in this status. It includes payments that are settled but not audited:
their workflow failed between the two steps."""
