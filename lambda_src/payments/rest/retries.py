"""POST /payments/{payment_id}/retry: send a payment that ended without a charge again."""

from functools import partial
from typing import Any

from payments.application.retry import ChargeFound, ListNotRead, NotRetryable, Retries, RetryRefused
from payments.domain.identity import Role, actor_of
from payments.domain.payment import Payment
from payments.domain.statuses import Status
from payments.ports.payment_store import VersionConflict
from payments.rest.gateway import at_gateway
from payments.rest.http import Problem, answer
from payments.rest.payments import refuse_if_too_many_wait, require_visible, shown_to
from payments.rest.request import Request
from payments.rest.services import Services
from payments.rest.views import accepted_view, link_to

RETRY_AFTER_SECONDS = 60
"""After this time a payment that the gateway is asked about has an answer, or is asked about again."""


def retry_payment(request: Request, services: Services) -> dict[str, Any]:
    """POST /payments/{payment_id}/retry: by its submitter, the customer that owns it, or an admin."""
    caller = request.caller
    payment, _ = require_visible(request, services, others=caller.has(Role.ADMIN))
    retries = Retries(
        services.payments,
        services.charges,
        services.encryptor,
        services.workflow,
        services.environment_id,
        check=lambda retry_id: refuse_if_too_many_wait(retry_id, services),
        tokens=services.tokens,
        held=services.hold.batch_holds,
    )
    send = partial(
        retries.retry, payment.payment_id, by=actor_of(caller), at=request.at, correlation_id=request.request_id
    )
    try:
        retry, repeated = at_gateway(send)
    except (RetryRefused, VersionConflict) as refused:
        asked = isinstance(refused, NotRetryable) and refused.asked
        again = RETRY_AFTER_SECONDS if asked or isinstance(refused, ListNotRead) else 0
        detail = f"{_why(shown_to(request, payment), refused)}. Nothing was sent."
        raise Problem(409, "conflict", detail, retry_after_seconds=again) from None
    headers = {"Location": link_to(retry.payment_id)} | ({"Idempotent-Replayed": "true"} if repeated else {})
    return answer(202, accepted_view(retry), headers)


def _why(payment: Payment, refused: Exception) -> str:
    """Why a payment is not sent again, with what to do."""
    match refused:
        case ChargeFound():
            return (
                f"{refused}, although it is {payment.status}; do not pay it anew, and ask an operator to compare both"
            )
        case ListNotRead():
            return f"{refused}; try again in a minute, or ask an operator"
        case NotRetryable() if refused.asked:
            return f"{refused}: it may be charged, and the gateway is asked about it now; try again in a minute"
        case NotRetryable():
            instead = _INSTEAD.get(payment.status, "it may be charged; wait for its outcome")
            return f"payment {payment.payment_id} is {payment.status}; only a failed payment is sent again: {instead}"
    return str(refused)


_INSTEAD = {
    Status.DECLINED: "send a new payment with another payment method",
    Status.REJECTED: "correct it, and send it under a new payment_id",
    Status.SUCCEEDED: "it was charged",
    Status.REFUNDED: "it was charged, and refunded",
}
"""What to do with a payment that did not end `failed`, instead of a retry."""
