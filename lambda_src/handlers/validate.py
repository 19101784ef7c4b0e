"""Validate: find what to charge the payment on, and refuse what can never be charged."""

from typing import Any

from payments import aws
from payments.config import setting
from payments.gateways.stripe_amounts import refusal
from payments.logs import logger
from payments.outcome import answered
from payments.stores.dynamodb import DynamoCustomerStore, DynamoPaymentStore
from payments.stores.port import require
from payments.validating import PaymentMethods, validate

dynamodb = aws.dynamodb()
store = DynamoPaymentStore(dynamodb, setting("PAYMENTS_TABLE"))
methods = PaymentMethods(
    DynamoCustomerStore(dynamodb, setting("CUSTOMERS_TABLE")), setting("DEFAULT_PAYMENT_METHOD", "")
)
log = logger()


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """State in: payment_id. State out: payment_id, and an outcome if the payment is refused."""
    payment_id = event["payment_id"]
    refused = answered(lambda: validate(require(store, payment_id), methods=methods, refusal=refusal))
    log.info("validated", payment_id=payment_id, status=refused.status if refused else "valid")
    return {"payment_id": payment_id} | ({"outcome": refused.as_json()} if refused else {})
