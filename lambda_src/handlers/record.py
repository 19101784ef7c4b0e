"""Record: write the outcome, or what a caught error means, onto the payment's row."""

from typing import Any

from payments import aws
from payments.clock import utc_now
from payments.config import setting
from payments.logs import invocation, logger
from payments.metrics import note_outcome, timed
from payments.steps import record_step
from payments.stores.events_dynamodb import DynamoEventStore
from payments.stores.followed import FollowedPayments

dynamodb = aws.dynamodb()
store = FollowedPayments(dynamodb, setting("PAYMENTS_TABLE"), saved=note_outcome)
events = DynamoEventStore(dynamodb, setting("GATEWAY_EVENTS_TABLE"))
log = logger()


@invocation
@timed("record")
def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """State in: payment_id with outcome or error. State out: payment_id."""
    payment = record_step(event, store=store, events=events, clock=utc_now)
    log.info("recorded", payment_id=payment.payment_id, status=payment.status, version=payment.version)
    return {"payment_id": payment.payment_id}
