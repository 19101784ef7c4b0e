"""How the API shows a payment. Payment methods and fingerprints stay inside."""

from typing import Any

from payments.domain.payment import Payment
from payments.domain.statuses import Status


def link_to(payment_id: str) -> str:
    """Where to ask for a payment, relative to the API's base address."""
    return f"/payments/{payment_id}"


def accepted_view(payment: Payment) -> dict[str, Any]:
    """The answer to a submitted payment: built from what never changes, so that a repeated call gets the same."""
    return {
        "payment_id": payment.payment_id,
        "status": Status.PENDING.value,
        "accepted_at": payment.created_at,
        "links": {"self": link_to(payment.payment_id)},
    }


def payment_view(payment: Payment) -> dict[str, Any]:
    """An opened payment with its status, history and references; what is empty is left out."""
    view = {
        "payment_id": payment.payment_id,
        "status": payment.status.value,
        "amount": payment.money.decimal,
        "currency": payment.money.currency,
        "customer_id": payment.customer_id,
        "description": payment.description,
        "metadata": dict(payment.metadata),
        "source": payment.source,
        "reason": _reason(payment.code, payment.message),
        "created_at": payment.created_at,
        "updated_at": payment.updated_at,
        "history": [
            _filled(
                {
                    "version": change.version,
                    "status": change.status.value,
                    "at": change.at,
                    "actor": change.actor.partition(":")[0],  # an operator's name is for the audit log alone
                    "reason": _reason(change.code, change.message),
                }
            )
            for change in payment.history
        ],
        "links": {"self": link_to(payment.payment_id)},
    }
    references = {
        "gateway": payment.gateway,
        "gateway_reference": payment.gateway_reference,
        "correlation_id": payment.correlation_id,
        "batch_id": payment.batch_id,
        "batch_line": payment.batch_line,
    }
    return _filled(view) | {"references": _filled(references)}


def _reason(code: str, message: str) -> dict[str, str]:
    return {"code": code, "message": message} if code else {}


def _filled(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value not in ("", {}, 0)}
