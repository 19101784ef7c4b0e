"""Record: write the outcome, or the meaning of a caught error, to the payment's row."""

from datetime import timedelta
from typing import Any

from payments.adapters import aws_clients as aws
from payments.adapters.dynamodb.events import DynamoEventStore
from payments.adapters.dynamodb.instrumented_payments import InstrumentedPaymentStore
from payments.application.steps import record_step
from payments.config import setting
from payments.domain.clock import utc_now
from payments.domain.recovery_timeouts import RecoveryTimeouts
from payments.observability.logs import invocation, logger
from payments.observability.metrics import note_outcome, timed

dynamodb = aws.dynamodb()
timeouts = RecoveryTimeouts(timedelta(seconds=int(setting("PATIENCE_SECONDS"))))
store = InstrumentedPaymentStore(dynamodb, setting("PAYMENTS_TABLE"), timeouts=timeouts, saved=note_outcome)
events = DynamoEventStore(dynamodb, setting("GATEWAY_EVENTS_TABLE"))
log = logger()


@invocation
@timed("record")
def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """State in: payment_id with outcome or error. State out: payment_id."""
    payment = record_step(event, store=store, events=events, clock=utc_now)
    log.info("recorded", payment_id=payment.payment_id, status=payment.status, version=payment.version)
    return {"payment_id": payment.payment_id}
