"""Dispatch: start the workflow of each queued payment, within the gateway's rate."""

import time
from datetime import timedelta
from typing import Any

from aws_lambda_powertools.utilities.batch import BatchProcessor, EventType, process_partial_response
from aws_lambda_powertools.utilities.batch.types import PartialItemFailureResponse
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord
from aws_lambda_powertools.utilities.typing import LambdaContext

from payments.adapters import aws_clients as aws
from payments.adapters.dynamodb.batch_breaker import DynamoBreakerStore
from payments.adapters.dynamodb.batches import DynamoBatchStore
from payments.adapters.dynamodb.instrumented_payments import InstrumentedPaymentStore
from payments.adapters.dynamodb.slots import DynamoSlotStore
from payments.adapters.sqs import HANDED_BACK_SECONDS, SqsPaymentQueue
from payments.adapters.step_functions import StepFunctionsWorkflow
from payments.application.batch.dispatch import (
    NEVER_DISPATCHED,
    BatchesPaused,
    BatchHeld,
    Dispatcher,
    ShortOfTime,
)
from payments.application.batch.switches import Switches
from payments.application.gateway_rate_limiter import GatewayRateLimiter
from payments.config import setting
from payments.domain.clock import utc_now
from payments.observability.logs import bind_log_context, invocation, logger

dynamodb = aws.dynamodb()
slot = timedelta(microseconds=int(setting("SLOT_MICROSECONDS")))
# an occasional read of the counter is enough for backpressure; an older value would show too small a backlog
slots = DynamoSlotStore(dynamodb, setting("CONTROLS_TABLE"), slot, remember_seconds=0.1)
dispatcher = Dispatcher(
    payments=InstrumentedPaymentStore(dynamodb, setting("PAYMENTS_TABLE")),
    workflow=StepFunctionsWorkflow(aws.step_functions(), setting("STATE_MACHINE_ARN")),
    breaker=DynamoBreakerStore(dynamodb, setting("CONTROLS_TABLE")),
    rate_limiter=GatewayRateLimiter(slots, slot, utc_now, time.sleep),
    interval_seconds=float(setting("DISPATCH_PACE_SECONDS")),
    monotonic=time.monotonic,
    sleep=time.sleep,
    switches=Switches(
        DynamoBatchStore(dynamodb, setting("PROCESSING_STATUS_TABLE"), setting("PAYMENTS_TABLE")), utc_now
    ),
)
queue = SqsPaymentQueue(aws.sqs(), setting("PAYMENT_QUEUE_URL"))
# malformed messages are not a failure of the function: the dead-letter queue has its own alarm
processor = BatchProcessor(event_type=EventType.SQS, raise_on_entire_batch_failure=False)
log = logger()


@invocation
def handler(event: dict[str, Any], context: LambdaContext) -> PartialItemFailureResponse:
    """SQS messages in, the ids of the failed ones out. SQS delivers only those again."""
    return process_partial_response(event=event, record_handler=_dispatch, processor=processor, context=context)


def _dispatch(record: SQSRecord, lambda_context: LambdaContext) -> None:
    bind_log_context(None)  # errors of this message must not be logged with the payment of the last one
    try:
        payment_id = dispatcher.dispatch(record.body, lambda: lambda_context.get_remaining_time_in_millis() / 1000)
    except ShortOfTime as back:
        # a failed message would count towards the dead-letter queue: this one is done, and its copy is new
        queue.put_back(record.body, back.seconds)
        log.info("handed back", message_id=record.message_id, reason=str(back), seconds=back.seconds)
        return
    except BatchHeld as held:
        log.info("held", message_id=record.message_id, reason=str(held))
        return
    except Exception as error:
        # the dead-letter queue keeps the message; this line has its reason, found by the message id
        log.warning("not dispatched", message_id=record.message_id, reason=f"{type(error).__name__}: {error}")
        if isinstance(error, BatchesPaused):
            queue.hand_back(record.receipt_handle, HANDED_BACK_SECONDS)
        elif isinstance(error, NEVER_DISPATCHED):
            queue.hand_back(record.receipt_handle, seconds=1)  # its five deliveries take seconds, not half an hour
        raise
    log.info("dispatched", payment_id=payment_id)
