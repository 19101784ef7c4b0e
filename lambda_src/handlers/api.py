"""The REST API: accept a payment, tell what became of one. The routes are those of api/openapi.yaml."""

from collections.abc import Callable
from typing import Any

from payments import aws
from payments.accepting import OtherPayment, accept
from payments.clock import utc_now
from payments.config import setting
from payments.http import Problem, answer, json_body, problem_answer
from payments.logs import logger
from payments.payment import InvalidRequest, parse_request
from payments.stores.dynamodb import DynamoPaymentStore
from payments.views import accepted_view, link_to, payment_view
from payments.workflow import StepFunctionsWorkflow

store = DynamoPaymentStore(aws.dynamodb(), setting("PAYMENTS_TABLE"))
workflow = StepFunctionsWorkflow(aws.step_functions(), setting("STATE_MACHINE_ARN"))
log = logger()


def create_payment(event: dict[str, Any]) -> dict[str, Any]:
    """POST /payments."""
    try:
        request = parse_request(json_body(event))
    except InvalidRequest as refused:
        raise Problem(
            400,
            "invalid-request",
            "some fields were refused, nothing was stored; correct them and send the payment again",
            refused.errors,
        ) from None
    try:
        acceptance = accept(request, store=store, workflow=workflow, at=utc_now(), correlation_id=_request_id(event))
    except OtherPayment as taken:
        raise Problem(
            409,
            "conflict",
            f"payment_id {request.payment_id} was accepted at {taken.existing.created_at} with other content; "
            "nothing was changed. Send a new payment under a new payment_id.",
        ) from None
    log.info("accepted", payment_id=request.payment_id, replayed=acceptance.replayed)
    headers = {"Location": link_to(request.payment_id)}
    if acceptance.replayed:
        headers["Idempotent-Replayed"] = "true"
    return answer(202, accepted_view(acceptance.payment), headers)


def get_payment(event: dict[str, Any]) -> dict[str, Any]:
    """GET /payments/{payment_id}."""
    payment_id = event["pathParameters"]["payment_id"]
    payment = store.get(payment_id) if len(payment_id) <= 64 else None
    if payment is None:
        raise Problem(404, "not-found", "no payment has this payment_id; check it, or submit it with POST /payments")
    return answer(200, payment_view(payment))


def get_health(event: dict[str, Any]) -> dict[str, Any]:
    """GET /health."""
    return answer(200, {"status": "ok"})


ROUTES: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "POST /payments": create_payment,
    "GET /payments/{payment_id}": get_payment,
    "GET /health": get_health,
}


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """A proxy event in, a proxy response out; every error is a problem that says what to do."""
    try:
        return ROUTES[f"{event['httpMethod']} {event['resource']}"](event)
    except Problem as problem:
        log.info("refused", status=problem.status, kind=problem.kind)
        return problem_answer(problem, _request_id(event))
    except Exception:  # the last stop: whatever it is, the client gets an answer and the log the trace
        log.exception("request failed", request_id=_request_id(event))
        failed = Problem(500, "internal-error", "the payment may be stored or not: send the same request again")
        return problem_answer(failed, _request_id(event))


def _request_id(event: dict[str, Any]) -> str:
    return str(event["requestContext"].get("requestId", ""))
