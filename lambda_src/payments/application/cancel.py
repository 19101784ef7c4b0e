"""Cancel: end a payment that was not sent yet, so that it is never charged."""

from typing import NamedTuple

from payments.domain.cancellation import CancelCode, canceled, is_canceled
from payments.domain.clock import Clock
from payments.domain.fraud_hold import may_be_canceled
from payments.domain.payment import Payment
from payments.ports.payment_store import PaymentStore, VersionConflict, require
from payments.ports.workflow import Workflow

_TRIES = 5


class NotPending(Exception):
    """The payment is neither `pending` nor held by a fraud rule: it is being sent, or it has an outcome. Nothing was
    written."""

    def __init__(self, payment: Payment) -> None:
        self.payment = payment
        super().__init__(f"payment {payment.payment_id} is {payment.status}, not pending")


class Cancellation(NamedTuple):
    """The canceled payment, and whether an earlier call canceled it."""

    payment: Payment
    repeated: bool


def cancel(payment_id: str, *, by: str, store: PaymentStore, workflow: Workflow, clock: Clock) -> Cancellation:
    """Cancel a payment and start the execution that audits and publishes it. Safe to repeat.

    The write has the condition that guards a charge, the row's version: a payment is either canceled or sent. Needs no
    encryptor, because encrypted texts stay as they are. If the execution is never started, recovery finds the payment
    rejected and not audited, and starts another one.

    Raises NotPending, LookupError if the payment is not stored, and VersionConflict after several lost races.
    """
    payment, repeated = _rejected(payment_id, by, store, clock)
    if payment.audited_version < payment.version:
        workflow.restart(payment_id, execution_suffix_of(payment))
    return Cancellation(payment, repeated)


def execution_suffix_of(payment: Payment) -> str:
    """The suffix of the name of the execution that audits and publishes a cancellation."""
    return f"c{payment.version}"


def _rejected(payment_id: str, by: str, store: PaymentStore, clock: Clock) -> Cancellation:
    for _ in range(_TRIES):
        payment = require(store, payment_id)
        if is_canceled(payment):
            return Cancellation(payment, repeated=True)
        if not may_be_canceled(payment):
            raise NotPending(payment)
        ended = canceled(payment, CancelCode.PAYMENT, by=by, at=clock())
        try:
            store.save(ended)
        except VersionConflict:  # it is being sent, or just came back
            continue
        return Cancellation(ended, repeated=False)
    raise VersionConflict(f"payment {payment_id} changed {_TRIES} times while it was canceled")
