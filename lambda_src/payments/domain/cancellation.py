"""Canceled payments: those that ended before they were sent, because someone asked for it."""

from datetime import datetime
from enum import StrEnum

from payments.domain.payment import Payment, moved
from payments.domain.statuses import Status


class CancelCode(StrEnum):
    """Why a payment was canceled: the code of its last change, in the history, the audit log and the events."""

    PAYMENT = "canceled"
    """This payment was canceled."""
    BATCH = "batch_canceled"
    """The batch of the payment was canceled."""


MESSAGES = {
    CancelCode.PAYMENT: "it was canceled before it was sent to the gateway",
    CancelCode.BATCH: "its batch was canceled before it was sent to the gateway",
}


def is_canceled(payment: Payment) -> bool:
    """Whether the payment was canceled, for either reason."""
    return payment.status is Status.REJECTED and payment.code in {*CancelCode}


def canceled(payment: Payment, code: CancelCode, *, by: str, at: datetime) -> Payment:
    """The payment's next version: `rejected`, so that it is never sent. `by` is the actor in its history.

    A charge writes its intent to the same version. Of the two writes, only one succeeds. Raises IllegalMove for a
    payment in a status that cannot become `rejected`; the caller checks that it is `pending`.
    """
    return moved(payment, Status.REJECTED, at=at, actor=by, code=code, message=MESSAGES[code])
