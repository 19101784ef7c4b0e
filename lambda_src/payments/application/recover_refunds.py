"""Recovery of refunds: restart those that wait for an answer, the oldest first."""

from dataclasses import dataclass
from datetime import datetime

from payments.domain.clock import Clock, iso
from payments.domain.due import Kind
from payments.domain.recovery_timeouts import RecoveryTimeouts
from payments.domain.refund_due import refund_due
from payments.ports.payment_store import VersionConflict
from payments.ports.refund_store import RefundStore
from payments.ports.refund_workflow import RefundWorkflow

KINDS = (Kind.REFUND_OPEN, Kind.REFUND_APPROVAL, Kind.REFUND_ATTENTION)
"""The kinds of refunds that recovery looks at. One that failed late is in the last, and never due. One that waits for
an approval for too long goes there."""


@dataclass(frozen=True)
class RefundRecovery:
    """Looks at the refunds that are due. All that it does is safe to repeat, and to run twice at the same time."""

    refunds: RefundStore
    workflow: RefundWorkflow
    clock: Clock
    timeouts: RecoveryTimeouts

    def needing_attention(self, now: datetime) -> int:
        """How many refunds an operator must look at."""
        return self.refunds.count(Kind.REFUND_ATTENTION, datetime.max.replace(tzinfo=now.tzinfo))

    def recover(self, refund_id: str) -> bool:
        """Restart a refund if it is due, else set when it is. False if it was not restarted."""
        now, refund = self.clock(), self.refunds.get(refund_id)
        if refund is None:
            return False
        due = refund_due(refund, self.timeouts, now)
        if due is None or due.at > iso(now):
            self.refunds.look_again(refund, due)  # the index is behind the table
            return False
        try:
            claimed = self.refunds.claim_restart(refund, now)
        except VersionConflict:
            return False
        if claimed.version == 1 and claimed.restarts == 1:
            self.workflow.start(refund_id, refund.payment_id)  # if it was started after all, this changes nothing
        else:
            self.workflow.restart(refund_id, refund.payment_id, str(claimed.restarts + 1))
        return True
