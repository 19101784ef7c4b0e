"""Reviewing: what a person decides of a payment that a fraud rule holds.

The decision is one conditional write, so of two people one decides. Its execution is named after the version that it
made: whoever starts it, and however often, starts it once. If nobody comes to start it, the sweeper finds the payment
pending, or rejected and not audited, and takes it up as any other.
"""

from datetime import datetime
from enum import StrEnum

from payments.domain.payment import Change, Payment, moved
from payments.domain.statuses import Status
from payments.ports.payment_store import PaymentStore


class Verdict(StrEnum):
    """What a person decides. The value is the change's code in the history, the audit log and the events."""

    APPROVED = "approved_in_review"
    """It is charged."""
    REJECTED = "rejected_in_review"
    """It is never sent to the gateway."""


_LEADS_TO = {Verdict.APPROVED: Status.PENDING, Verdict.REJECTED: Status.REJECTED}


class NotHeld(Exception):
    """No fraud rule holds the payment, or not any more: there is nothing to decide."""


def is_held(payment: Payment) -> bool:
    """Whether a fraud rule holds it now.

    One that was sent before is none: what the gateway did with it is asked, not decided.
    """
    in_review = payment.status is Status.IN_REVIEW
    return in_review and bool(payment.hold) and payment.code == payment.hold and not payment.attempts


def decide(payment: Payment, verdict: Verdict, *, by: str, message: str, store: PaymentStore, at: datetime) -> Payment:
    """Write the verdict onto a payment as it was read; gives its row. `by` and `message` go into its history.

    Raises NotHeld, and VersionConflict if somebody else changed the row since it was read. Needs no vault: what is
    sealed stays as it is.
    """
    if not is_held(payment):
        raise NotHeld(f"payment {payment.payment_id} is {payment.status}, and no fraud rule holds it")
    decided = moved(payment, _LEADS_TO[verdict], at=at, actor=by, code=verdict, message=message)
    store.save(decided)
    return decided


def decision_on(payment: Payment) -> Change | None:
    """The last decision in a payment's history."""
    return next((change for change in reversed(payment.history) if change.code in {*Verdict}), None)


def execution_suffix_of(decision: Change) -> str:
    """The end of the name of the execution that carries a decision out."""
    return f"r{decision.version}"
