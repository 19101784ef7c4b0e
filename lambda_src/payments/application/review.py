"""Review: an operator decides on a payment that a fraud rule holds, or its time is over.

The decision is one conditional write, the one that guards a charge: of two operators, or an operator and the end of the
hold, only one decides. The execution is named after the version
that the decision wrote, so that repeated starts run it once. If it is never started, recovery finds the payment
pending, or rejected and not audited, and restarts it like any other.
"""

from datetime import datetime

from payments.domain.fraud_hold import LEADS_TO, Verdict, is_held
from payments.domain.payment import Change, Payment, moved
from payments.ports.payment_store import PaymentStore


class NotHeld(Exception):
    """No fraud rule holds the payment at this time: there is nothing to decide."""


def decide(payment: Payment, verdict: Verdict, *, by: str, message: str, store: PaymentStore, at: datetime) -> Payment:
    """Write the verdict to a payment as it was read, and return its row. `by` and `message` appear in its history.

    Raises NotHeld, and VersionConflict if the row changed since it was read. Needs no encryptor: encrypted texts stay
    as they are.
    """
    if not is_held(payment):
        raise NotHeld(f"payment {payment.payment_id} is {payment.status}, and no fraud rule holds it")
    decided = moved(payment, LEADS_TO[verdict], at=at, actor=by, code=verdict, message=message)
    store.save(decided)
    return decided


def execution_suffix_of(decision: Change) -> str:
    """The suffix of the name of the execution that carries out a decision."""
    return f"r{decision.version}"
