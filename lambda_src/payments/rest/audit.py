"""The audit log of a payment over REST, for those who see the data of all callers."""

from typing import Any

from payments.domain.payment import PAYMENT_ID
from payments.rest.http import Problem, answer
from payments.rest.request import Request
from payments.rest.services import Services
from payments.rest.views import audit_view


def list_audit_entries(request: Request, services: Services) -> dict[str, Any]:
    """All audit entries of a payment, oldest first, also of one whose row is gone. Raises Problem 404."""
    payment_id = request.path["payment_id"]
    well_formed = PAYMENT_ID.fullmatch(payment_id)
    entries = services.audit_log.entries(payment_id) if well_formed else []
    if not entries and not (well_formed and services.payments.get(payment_id)):
        raise Problem(404, "not-found", "no payment has this payment_id; check it, or list payments with GET /payments")
    return answer(200, {"payment_id": payment_id, "entries": [audit_view(entry) for entry in entries]})
