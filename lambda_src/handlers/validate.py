"""Validate: find the payment method, and reject payments that can never be charged."""

from functools import partial
from typing import Any

from payments.adapters import aws_clients as aws
from payments.adapters.dynamodb.customers import DynamoCustomerStore
from payments.adapters.dynamodb.instrumented_payments import InstrumentedPaymentStore
from payments.adapters.dynamodb.tokens import DynamoTokenStore
from payments.adapters.stripe.amounts import refusal
from payments.application.steps import validate_step
from payments.application.validate import PaymentMethods
from payments.config import setting
from payments.domain.clock import utc_now
from payments.observability.logs import invocation, logger
from payments.observability.metrics import timed

dynamodb = aws.dynamodb()
store = InstrumentedPaymentStore(dynamodb, setting("PAYMENTS_TABLE"))
methods = PaymentMethods(
    DynamoCustomerStore(dynamodb, setting("CUSTOMERS_TABLE")),
    setting("DEFAULT_PAYMENT_METHOD", ""),
    DynamoTokenStore(dynamodb, setting("TOKENS_TABLE")),
    utc_now,
)
settlement_currencies = frozenset(setting("SETTLEMENT_CURRENCIES", "").split(","))
refused = partial(refusal, settlement_currencies=settlement_currencies)
log = logger()


@invocation
@timed("validate")
def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """State in: payment_id. State out: the same, with an outcome if the payment is rejected."""
    state = validate_step(event, store=store, methods=methods, refusal=refused)
    log.info(
        "validated",
        payment_id=event["payment_id"],
        status=state["outcome"]["status"] if "outcome" in state else "valid",
    )
    return state
