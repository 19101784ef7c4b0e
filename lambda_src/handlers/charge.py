"""Charge: read the payment, ask the gateway, say what happened."""

from typing import Any

from payments import aws
from payments.charging import charge
from payments.clock import utc_now
from payments.config import setting
from payments.errors import Misconfigured
from payments.gateways.credentials import GatewayKey
from payments.gateways.stripe import StripeGateway
from payments.logs import logger
from payments.metrics import GATEWAY_MISCONFIGURED, count
from payments.outcome import answered
from payments.stores.dynamodb import DynamoCustomerStore, DynamoPaymentStore
from payments.stores.port import require
from payments.validating import PaymentMethods

dynamodb = aws.dynamodb()
store = DynamoPaymentStore(dynamodb, setting("PAYMENTS_TABLE"))
methods = PaymentMethods(
    DynamoCustomerStore(dynamodb, setting("CUSTOMERS_TABLE")), setting("DEFAULT_PAYMENT_METHOD", "")
)
key = GatewayKey(aws.secrets_manager(), setting("GATEWAY_SECRET_ARN"))
gateway = StripeGateway(key.read, base_url=setting("STRIPE_API_BASE"))
log = logger()


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """State in: payment_id. State out: payment_id and outcome. Raises what the state machine retries."""
    payment_id = event["payment_id"]
    payment = require(store, payment_id)
    try:
        outcome = answered(lambda: charge(payment, gateway=gateway, methods=methods, store=store, clock=utc_now))
    except Misconfigured:
        key.forget()
        count(GATEWAY_MISCONFIGURED)
        raise
    if outcome is None:
        raise AssertionError("charge gives an outcome or raises")
    log.info("charged", payment_id=payment_id, status=outcome.status, gateway_reference=outcome.gateway_reference)
    return {"payment_id": payment_id, "outcome": outcome.as_json()}
