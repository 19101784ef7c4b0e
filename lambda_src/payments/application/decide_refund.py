"""Approve or reject a refund: once, and by another person than the one who requested it."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from payments.domain.refund import Refund, booked, refund_moved
from payments.domain.refund_statuses import RefundStatus
from payments.ports.payment_store import PaymentStore, VersionConflict, require
from payments.ports.refund_store import RefundStore, require_refund
from payments.ports.refund_workflow import RefundWorkflow

_TRIES = 5


class Decision(StrEnum):
    """What the second person decides. The values are the codes in the history."""

    APPROVED = "approved"
    REJECTED = "rejected"


_STATUS = {Decision.APPROVED: RefundStatus.PENDING, Decision.REJECTED: RefundStatus.REJECTED}
_MESSAGE = {
    Decision.APPROVED: "a second person approved it",
    Decision.REJECTED: "a second person rejected it; nothing was refunded",
}


class NotDecided(Exception):
    """The refund waits for no approval: it never did, or the decision was made. Nothing was written."""


class NotAnotherPerson(Exception):
    """The caller requested the refund, or the requester is not known. Nothing was written."""


@dataclass(frozen=True, slots=True)
class Decided:
    """The refund after the decision, and whether the same person made the same decision before."""

    refund: Refund
    replayed: bool


def decide(
    refund_id: str,
    decision: Decision,
    *,
    subject: str,
    by: str,
    payments: PaymentStore,
    refunds: RefundStore,
    workflow: RefundWorkflow,
    at: datetime,
) -> Decided:
    """Approve a refund, which then is sent, or reject it, which releases its amount.

    `subject` is that of the caller's token, and `by` the caller as the actor in the audit log. One conditional write
    decides: of an approval and a rejection at the same time, one is refused. A repeated call repairs one that failed
    between storing and starting. Raises RefundNotStored, NotAnotherPerson, NotDecided, and VersionConflict after
    several lost races.
    """
    for _ in range(_TRIES):
        refund = require_refund(refunds, refund_id)
        if refund.status is not RefundStatus.PENDING_APPROVAL:
            if not subject or (_decision_on(refund), refund.approved_by) != (decision, subject):
                raise NotDecided(_why_not(refund))
            _start(refund, workflow)
            return Decided(refund, replayed=True)
        _require_another(refund, decision, subject)
        decided = refund_moved(
            refund,
            _STATUS[decision],
            at=at,
            actor=by,
            code=decision.value,
            message=_MESSAGE[decision],
            approved_by=subject,
        )
        try:
            refunds.save(decided, booked(require(payments, refund.payment_id), refund, decided))
        except VersionConflict:
            continue  # the payment changed, or another admin decided
        _start(decided, workflow)
        return Decided(decided, replayed=False)
    raise VersionConflict(f"the payment of refund {refund_id} changed {_TRIES} times while the refund was decided")


def _require_another(refund: Refund, decision: Decision, subject: str) -> None:
    if not subject or subject == refund.requested_by:
        raise NotAnotherPerson(f"you requested refund {refund.refund_id}; another admin must approve or reject it")
    if decision is Decision.APPROVED and not refund.requested_by:
        raise NotAnotherPerson(
            f"it is not known who requested refund {refund.refund_id}; reject it and request a new one with a token"
        )


def _decision_on(refund: Refund) -> Decision | None:
    if not refund.approved_by:
        return None
    return Decision.REJECTED if refund.status is RefundStatus.REJECTED else Decision.APPROVED


def _why_not(refund: Refund) -> str:
    decision = _decision_on(refund)
    if decision:
        return f"refund {refund.refund_id} was {decision} already, and is {refund.status}"
    return f"refund {refund.refund_id} is {refund.status}, and needs no approval"


def _start(refund: Refund, workflow: RefundWorkflow) -> None:
    """Start the execution that sends it, or publishes its end. Its name follows from the version of the decision."""
    version = next(change.version for change in refund.history if change.status is not RefundStatus.PENDING_APPROVAL)
    workflow.restart(refund.refund_id, refund.payment_id, f"v{version}")
