"""Validate: find what to charge the payment on, and refuse what can never be charged."""

from typing import Any

from payments import aws
from payments.clock import utc_now
from payments.config import setting
from payments.gateways.stripe_amounts import refusal
from payments.logs import logger
from payments.outcome import answered
from payments.stores.dynamodb import DynamoCustomerStore, DynamoPaymentStore
from payments.stores.port import require
from payments.validating import validate

dynamodb = aws.dynamodb()
store = DynamoPaymentStore(dynamodb, setting("PAYMENTS_TABLE"))
customers = DynamoCustomerStore(dynamodb, setting("CUSTOMERS_TABLE"))
log = logger()


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """State in: payment_id. State out: payment_id, and an outcome if the payment is refused."""
    payment_id = event["payment_id"]
    refused = answered(
        lambda: validate(
            require(store, payment_id),
            store=store,
            customers=customers,
            default_payment_method=setting("DEFAULT_PAYMENT_METHOD", ""),
            refusal=refusal,
            clock=utc_now,
        )
    )
    log.info("validated", payment_id=payment_id, status=refused.status if refused else "valid")
    return {"payment_id": payment_id} | ({"outcome": refused.as_json()} if refused else {})
