"""The events that subscribers of the payment topic receive."""

from payments.domain.payment import Payment

PAYMENT_EVENT = "payment"
BATCH_EVENT = "batch"
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
