"""Report: write a batch's result files and notify its subscribers."""

import json
import time
from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from payments.adapters import aws_clients as aws
from payments.adapters.dynamodb.batches import DynamoBatchStore
from payments.adapters.dynamodb.payments import DynamoPaymentStore
from payments.adapters.kms import KmsFieldEncryptor
from payments.adapters.s3 import S3BatchFiles
from payments.application.batch.report import Reporter
from payments.config import setting
from payments.domain.batch.state import BatchStatus
from payments.domain.clock import utc_now
from payments.observability.logs import invocation, logger

dynamodb, sns = aws.dynamodb(), aws.sns()
log = logger()


def publish(event: dict[str, Any]) -> None:
    """Send the batch's event. Its message attributes are the fields that subscribers filter on."""
    sns.publish(
        TopicArn=setting("PAYMENT_EVENTS_TOPIC_ARN"),
        Message=json.dumps(event),
        MessageAttributes={
            name: {"DataType": "String", "StringValue": event[name]} for name in ("event_type", "status")
        },
    )


reporter = Reporter(
    payments=DynamoPaymentStore(dynamodb, setting("PAYMENTS_TABLE")),
    batches=DynamoBatchStore(dynamodb, setting("PROCESSING_STATUS_TABLE"), setting("PAYMENTS_TABLE")),
    files=S3BatchFiles(aws.s3()),
    publish=publish,
    clock=utc_now,
    sleep=time.sleep,
    encryptor=KmsFieldEncryptor(aws.kms(), setting("VAULT_KEY_ARN")),
)


@invocation
def handler(event: dict[str, Any], context: LambdaContext) -> None:
    """Event in: {"batch_id": …}, from the splitter, the audit step of the batch's last payment, or recovery."""
    batch = reporter.report(
        event["batch_id"],
        owner=context.aws_request_id,
        seconds_left=lambda: context.get_remaining_time_in_millis() / 1000,
    )
    if batch is None:
        log.info("another run owns this report, or it is done", batch_id=event["batch_id"])
    elif batch.status is BatchStatus.REPORTING:
        log.info("out of time, the next run continues", batch_id=batch.batch_id, line=batch.report.line)
    else:
        log.info("reported", batch_id=batch.batch_id, status=batch.status, by_status=dict(batch.by_status))
