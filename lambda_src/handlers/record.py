"""Record: write the outcome, or what a caught error means, onto the payment's row."""

from typing import Any

from payments import aws
from payments.clock import utc_now
from payments.config import setting
from payments.logs import logger
from payments.metrics import PAYMENTS_IN_REVIEW, count
from payments.statuses import Status
from payments.steps import record_step
from payments.stores.dynamodb import DynamoPaymentStore

store = DynamoPaymentStore(aws.dynamodb(), setting("PAYMENTS_TABLE"))
log = logger()


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """State in: payment_id with outcome or error. State out: payment_id."""
    payment = record_step(event, store=store, clock=utc_now)
    if payment.status is Status.IN_REVIEW:
        count(PAYMENTS_IN_REVIEW)  # the sweeper goes on counting it until a person has decided
    log.info("recorded", payment_id=payment.payment_id, status=payment.status, version=payment.version)
    return {"payment_id": payment.payment_id}
