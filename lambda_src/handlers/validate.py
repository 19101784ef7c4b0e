"""Validate: find what to charge the payment on, and refuse what can never be charged."""

from typing import Any

from payments import aws
from payments.clock import utc_now
from payments.config import setting
from payments.gateways.stripe_amounts import refusal
from payments.logs import invocation, logger
from payments.metrics import timed
from payments.steps import validate_step
from payments.stores.customers_dynamodb import DynamoCustomerStore
from payments.stores.followed import FollowedPayments
from payments.stores.tokens_dynamodb import DynamoTokenStore
from payments.validating import PaymentMethods

dynamodb = aws.dynamodb()
store = FollowedPayments(dynamodb, setting("PAYMENTS_TABLE"))
methods = PaymentMethods(
    DynamoCustomerStore(dynamodb, setting("CUSTOMERS_TABLE")),
    setting("DEFAULT_PAYMENT_METHOD", ""),
    DynamoTokenStore(dynamodb, setting("TOKENS_TABLE")),
    utc_now,
)
log = logger()


@invocation
@timed("validate")
def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """State in: payment_id. State out: the same, and an outcome if the payment is refused."""
    state = validate_step(event, store=store, methods=methods, refusal=refusal)
    log.info(
        "validated",
        payment_id=event["payment_id"],
        status=state["outcome"]["status"] if "outcome" in state else "valid",
    )
    return state
