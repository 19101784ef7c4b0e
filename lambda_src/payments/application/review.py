"""Review: an operator decides on a payment that a fraud rule holds.

The decision is one conditional write: of two operators, only one decides. The execution is named after the version
that the decision wrote, so that repeated starts run it once. If it is never started, recovery finds the payment
pending, or rejected and not audited, and restarts it like any other.
"""

from datetime import datetime
from enum import StrEnum

from payments.domain.payment import Change, Payment, moved
from payments.domain.statuses import Status
from payments.ports.payment_store import PaymentStore


class Verdict(StrEnum):
    """The operator's decision. The value is the change's code in the history, the audit log and the events."""

    APPROVED = "approved_in_review"
    """The payment is charged."""
    REJECTED = "rejected_in_review"
    """The payment is never sent to the gateway."""


_LEADS_TO = {Verdict.APPROVED: Status.PENDING, Verdict.REJECTED: Status.REJECTED}


class NotHeld(Exception):
    """No fraud rule holds the payment at this time: there is nothing to decide."""


def is_held(payment: Payment) -> bool:
    """Whether a fraud rule holds the payment now.

    A payment that was already sent is not held: the gateway is queried for its result instead.
    """
    in_review = payment.status is Status.IN_REVIEW
    return in_review and bool(payment.hold) and payment.code == payment.hold and not payment.attempts


def decide(payment: Payment, verdict: Verdict, *, by: str, message: str, store: PaymentStore, at: datetime) -> Payment:
    """Write the verdict to a payment as it was read, and return its row. `by` and `message` appear in its history.

    Raises NotHeld, and VersionConflict if the row changed since it was read. Needs no encryptor: encrypted texts stay
    as they are.
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
    """The suffix of the name of the execution that carries out a decision."""
    return f"r{decision.version}"
