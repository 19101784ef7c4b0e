"""Accept a payment over REST: store it once and start it once, however often the client repeats the request."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from payments.application.velocity import NOT_COUNTED, Counted
from payments.domain.payment import Payment, PaymentRequest, accepted
from payments.domain.statuses import Status
from payments.ports.payment_store import AlreadyExists, PaymentStore
from payments.ports.workflow import Workflow


class OtherPayment(Exception):
    """The payment_id belongs to a payment with other content. Nothing was written."""

    def __init__(self, existing: Payment) -> None:
        self.existing = existing
        super().__init__(f"payment {existing.payment_id} exists with other content")


@dataclass(frozen=True, slots=True)
class Acceptance:
    """The stored payment, and whether it existed before this call."""

    payment: Payment
    replayed: bool


def accept(
    request: PaymentRequest,
    *,
    store: PaymentStore,
    workflow: Workflow,
    at: datetime,
    correlation_id: str,
    submitted_by: str = "",
    counted: Counted = NOT_COUNTED,
    metadata_hash: str = "",
    actor: str = "",
    held: Callable[[Payment], bool] = lambda _: False,
) -> Acceptance:
    """Store the payment if it is new, and start its workflow while it is pending.

    A payment that its batch holds (`held`) is not started: its execution would be used up before the batch is resumed.

    Raises OtherPayment if the id is taken. A repeated call repairs one that failed between storing and starting.
    """
    payment = accepted(
        request,
        at=at,
        source="rest",
        correlation_id=correlation_id,
        submitted_by=submitted_by,
        hold=counted.hold,
        card_counters=counted.counters,
        metadata_hash=metadata_hash,
        actor=actor,
    )
    replayed = False
    try:
        store.create(payment)
    except AlreadyExists as known:
        if not known.existing.was_made_by(request):
            raise OtherPayment(known.existing) from None
        payment, replayed = known.existing, True
    if payment.status is Status.PENDING and not (replayed and held(payment)):
        workflow.start(payment.payment_id)
    return Acceptance(payment, replayed)
