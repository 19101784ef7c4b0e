"""Webhook: receive Stripe's events. The route is POST /webhooks/stripe of api/openapi.yaml; a signature protects it."""

from typing import Any

from payments.adapters import aws_clients as aws
from payments.adapters.dynamodb.batch_breaker import DynamoBreakerStore
from payments.adapters.dynamodb.customers import DynamoCustomerStore
from payments.adapters.dynamodb.events import DynamoEventStore
from payments.adapters.dynamodb.instrumented_payments import InstrumentedPaymentStore
from payments.adapters.kms import KmsFieldEncryptor
from payments.adapters.secrets_manager import WebhookSecrets
from payments.adapters.step_functions import StepFunctionsRefunds, StepFunctionsWorkflow, refund_machine_of
from payments.adapters.stripe.webhook import BadSignature, EventOfOtherMode, UnreadableEvent, verified_event
from payments.application.first_cards import FirstCards
from payments.application.open_mark import OpenMark
from payments.application.webhooks import Webhooks
from payments.config import setting
from payments.domain.clock import utc_now
from payments.domain.errors import Misconfigured
from payments.domain.gateway_event import CardSaved, EventState, GatewayEvent
from payments.observability.logs import invocation, logger
from payments.observability.metrics import CONTRADICTING_EVENTS, GATEWAY_EVENTS_REFUSED, count
from payments.rest.http import Problem, answer, header, problem_answer, raw_body

dynamodb = aws.dynamodb()
secrets = WebhookSecrets(aws.secrets_manager(), setting("WEBHOOK_SECRET_ARN"))
encryptor = KmsFieldEncryptor(aws.kms(), setting("VAULT_KEY_ARN"))
mark = OpenMark(DynamoBreakerStore(dynamodb, setting("CONTROLS_TABLE")), utc_now)
webhooks = Webhooks(
    events=DynamoEventStore(dynamodb, setting("GATEWAY_EVENTS_TABLE")),
    payments=InstrumentedPaymentStore(dynamodb, setting("PAYMENTS_TABLE")),
    workflow=StepFunctionsWorkflow(aws.step_functions(), setting("STATE_MACHINE_ARN")),
    clock=utc_now,
    encryptor=encryptor,
    environment_id=setting("ENVIRONMENT_ID"),
    is_open=mark.is_open,
    refunds=StepFunctionsRefunds(aws.step_functions(), refund_machine_of(setting("STATE_MACHINE_ARN"))),
)
first_cards = FirstCards(
    DynamoCustomerStore(dynamodb, setting("CUSTOMERS_TABLE")), encryptor, utc_now, setting("ENVIRONMENT_ID")
)
log = logger()


@invocation
def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """Proxy event in, proxy response out. 200 once the event is stored; otherwise Stripe sends it again."""
    request_id = str(event["requestContext"].get("requestId", ""))
    try:
        received = _verified(event)
        if isinstance(received, CardSaved):
            if not mark.is_open():
                raise Problem(503, "unavailable", "the environment is closed; send the event again")
            state = first_cards.receive(received)
            ours = {"customer_id": received.customer_id}
        else:
            state = webhooks.receive(received)
            ours = {"payment_id": received.payment_id}
    except Problem as problem:
        count(GATEWAY_EVENTS_REFUSED)
        log.warning("webhook rejected", status=problem.status, detail=problem.detail)
        return problem_answer(problem, request_id)
    except Exception:  # the event may not be stored: the gateway must send it again
        count(GATEWAY_EVENTS_REFUSED)
        log.exception("webhook failed", request_id=request_id)
        return problem_answer(Problem(500, "internal-error", "send the event again"), request_id)
    if state is EventState.CONTRADICTS:
        count(CONTRADICTING_EVENTS)
    log.info("webhook", event_id=received.event_id, type=received.type, state=state, extra=ours)
    return answer(200, {"received": True})


def _verified(event: dict[str, Any]) -> GatewayEvent | CardSaved:
    """The event, if its signature is valid. Raises Problem."""
    signature = header(event, "Stripe-Signature")
    try:
        return verified_event(
            raw_body(event), signature, secrets.read_all(), clock=utc_now, mode=setting("GATEWAY_MODE")
        )
    except BadSignature as error:
        secrets.forget_old()  # the secret may have been rotated
        raise Problem(400, "invalid-signature", f"{error}; nothing was stored") from None
    except (UnreadableEvent, EventOfOtherMode) as error:
        raise Problem(400, "invalid-request", f"{error}; nothing was stored") from None
    except Misconfigured as error:
        raise Problem(503, "internal-error", error.message) from None
