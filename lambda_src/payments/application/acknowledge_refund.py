"""Take a refund off the operators' list: an operator has done what it needed."""

from datetime import datetime

from payments.domain.refund import Refund, booked, refund_noted
from payments.ports.payment_store import PaymentStore, require
from payments.ports.refund_store import RefundStore, require_refund


class NothingToDo(Exception):
    """The refund is not on the list for a reason that an operator can end. Nothing was written."""


def acknowledge(
    refund_id: str, *, by: str, message: str, payments: PaymentStore, refunds: RefundStore, at: datetime
) -> Refund:
    """Write that an operator looked at a refund, and return its row. `by` and `message` appear in the audit log.

    Raises NothingToDo, RefundNotStored, and VersionConflict if it or its payment changed at the same moment.
    """
    refund = require_refund(refunds, refund_id)
    if not refund.attention:
        raise NothingToDo(f"refund {refund_id} is {refund.status}, and waits for no operator")
    done = refund_noted(refund, at=at, actor=by, code="looked_at", message=message, attention="")
    refunds.save(done, booked(require(payments, refund.payment_id), refund, done))
    return done
