"""Record: write the outcome, or what a caught error means, onto the payment's row."""

from typing import Any

from payments import aws
from payments.clock import utc_now
from payments.config import setting
from payments.logs import logger
from payments.outcome import outcome_of
from payments.recording import record
from payments.stores.dynamodb import DynamoPaymentStore

store = DynamoPaymentStore(aws.dynamodb(), setting("PAYMENTS_TABLE"))
log = logger()


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """State in: payment_id with outcome or error. State out: payment_id."""
    payment = record(event["payment_id"], outcome_of(event), store=store, clock=utc_now)
    log.info("recorded", payment_id=payment.payment_id, status=payment.status, version=payment.version)
    return {"payment_id": payment.payment_id}
