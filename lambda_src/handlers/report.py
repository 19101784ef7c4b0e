"""Report: write a batch's result files and notify its subscribers."""

import json
import time
from datetime import timedelta
from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from payments.adapters import aws_clients as aws
from payments.adapters.dynamodb.batches import DynamoBatchStore
from payments.adapters.dynamodb.payments import DynamoPaymentStore
from payments.adapters.kms import KmsFieldEncryptor
from payments.adapters.lambda_functions import CallFailed, FunctionCaller
from payments.adapters.s3 import S3BatchFiles
from payments.application.batch.cancel_rows import BatchCanceler
from payments.application.batch.report import Reporter
from payments.config import setting
from payments.domain.batch.state import BatchStatus
from payments.domain.clock import utc_now
from payments.domain.payment import Payment
from payments.domain.recovery_timeouts import RecoveryTimeouts
from payments.observability.logs import invocation, logger
from payments.observability.metrics import count_canceled
from payments.ports.payment_store import VersionConflict

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


audit = FunctionCaller(aws.functions(), setting("AUDIT_FUNCTION"))


def finish(payment: Payment) -> None:
    """Call the audit function, which reads the row. Raises VersionConflict if it did not get its entries in."""
    try:
        audit({"payment_id": payment.payment_id})
    except CallFailed as failed:
        if failed.error_type == VersionConflict.__name__:
            raise VersionConflict(str(failed)) from None
        raise


reporter = Reporter(
    payments=DynamoPaymentStore(dynamodb, setting("PAYMENTS_TABLE")),
    batches=DynamoBatchStore(dynamodb, setting("PROCESSING_STATUS_TABLE"), setting("PAYMENTS_TABLE")),
    files=S3BatchFiles(aws.s3()),
    publish=publish,
    clock=utc_now,
    sleep=time.sleep,
    encryptor=KmsFieldEncryptor(aws.kms(), setting("VAULT_KEY_ARN")),
)


timeouts = RecoveryTimeouts(timedelta(seconds=int(setting("PATIENCE_SECONDS"))))
canceler = BatchCanceler(
    payments=DynamoPaymentStore(dynamodb, setting("PAYMENTS_TABLE"), timeouts=timeouts),
    batches=reporter.batches,
    finish=finish,
    publish=publish,
    clock=utc_now,
)


@invocation
def handler(event: dict[str, Any], context: LambdaContext) -> None:
    """Event in: {"batch_id": …}, from the splitter, the audit step of the batch's last payment, recovery, or payctl.

    First ends the payments of a canceled batch that were not sent.
    """
    batch_id, owner = event["batch_id"], context.aws_request_id

    def seconds_left() -> float:
        return context.get_remaining_time_in_millis() / 1000

    canceled = canceler.cancel(batch_id, owner=owner, seconds_left=seconds_left)
    if canceled is not None:
        log.info("canceled", batch_id=batch_id, payments=canceled)
        count_canceled(canceled)
    batch = reporter.report(batch_id, owner=owner, seconds_left=seconds_left)
    if batch is None:
        log.info("another run owns this report, or it is done", batch_id=batch_id)
    elif batch.status is BatchStatus.REPORTING:
        log.info("out of time, the next run continues", batch_id=batch.batch_id, line=batch.report.line)
    else:
        log.info("reported", batch_id=batch.batch_id, status=batch.status, by_status=dict(batch.by_status))
