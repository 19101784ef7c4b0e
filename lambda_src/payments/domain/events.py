"""The events that subscribers of the payment topic receive."""

from payments.domain.money import Money
from payments.domain.payment import Payment
from payments.domain.refund import Refund

PAYMENT_EVENT = "payment"
BATCH_EVENT = "batch"
REFUND_EVENT = "refund"
"""Values of the message attribute `event_type`. Subscribers can filter on the attribute `status`."""


def payment_event(payment: Payment) -> dict[str, str]:
    """The outcome of a payment with its ids. A repeated event has the same `event_id`; subscribers drop duplicates."""
    return {
        "event_id": f"{payment.payment_id}:{payment.version}",
        "event_type": PAYMENT_EVENT,
        "payment_id": payment.payment_id,
        "status": payment.status.value,
        "code": payment.code,
        "message": payment.message,
        "amount": str(payment.money.decimal),
        "currency": payment.money.currency,
        "gateway": payment.gateway,
        "batch_id": payment.batch_id,
        "retry_of": payment.retry_of,
        "correlation_id": payment.correlation_id,
        "occurred_at": payment.updated_at,
    }


def refund_event(refund: Refund, payment: Payment) -> dict[str, str]:
    """The state of a refund with its ids, and what is refunded of its payment in all. A repeated event has the same
    `event_id`, which ends in the version of the refund's row."""
    return {
        "event_id": f"refund:{refund.refund_id}:{refund.version}",
        "event_type": REFUND_EVENT,
        "refund_id": refund.refund_id,
        "payment_id": refund.payment_id,
        "status": refund.status.value,
        "code": refund.code,
        "message": refund.message,
        "amount": str(refund.money.decimal),
        "currency": refund.money.currency,
        "payment_status": payment.status.value,
        "amount_refunded": str(Money(payment.refunded or 0, payment.money.currency).decimal),
        "source": refund.source,
        "correlation_id": refund.correlation_id,
        "occurred_at": refund.updated_at,
    }
