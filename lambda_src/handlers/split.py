"""Split: read an uploaded batch file, store its payments, queue their ids."""

from dataclasses import asdict
from functools import partial
from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from payments import aws
from payments.batch.functions import FunctionStarter
from payments.batch.queue import SqsPaymentQueue
from payments.batch.rows import BatchRows
from payments.batch.split import Splitter, sources_in
from payments.batch.state import BatchStatus
from payments.clock import utc_now
from payments.config import setting
from payments.logs import invocation, logger
from payments.metrics import PAYMENTS_ACCEPTED, count
from payments.stores.batch_dynamodb import DynamoBatchStore
from payments.stores.batch_files import S3BatchFiles
from payments.stores.dynamodb import DynamoPaymentStore
from payments.stores.vault_kms import KmsVault

dynamodb, functions = aws.dynamodb(), aws.functions()
batches = DynamoBatchStore(dynamodb, setting("PROCESSING_STATUS_TABLE"), setting("PAYMENTS_TABLE"))
start_report = FunctionStarter(functions, setting("REPORT_FUNCTION"))
start_split = FunctionStarter(functions, setting("AWS_LAMBDA_FUNCTION_NAME"))
splitter = Splitter(
    payments=DynamoPaymentStore(dynamodb, setting("PAYMENTS_TABLE"), KmsVault(aws.kms(), setting("VAULT_KEY_ARN"))),
    batches=batches,
    queue=SqsPaymentQueue(aws.sqs(), setting("PAYMENT_QUEUE_URL")),
    files=S3BatchFiles(aws.s3()),
    rows=BatchRows(batches, lambda batch_id: start_report({"batch_id": batch_id})),
    continue_later=lambda source: start_split({"resume": asdict(source)}),
    clock=utc_now,
)
log = logger()


@invocation
def handler(event: dict[str, Any], context: LambdaContext) -> None:
    """An S3 notification, or {"resume": …} from the run before, which ran out of time."""
    for source in sources_in(event):
        batch = splitter.split(source, owner=context.aws_request_id, seconds_left=partial(_seconds_left, context))
        if batch is None:
            log.info("another run has this file", batch_id=source.batch_id)
        else:
            if batch.status is not BatchStatus.SPLITTING and batch.progress.payments:
                count(PAYMENTS_ACCEPTED, batch.progress.payments, step="split")  # once, at the end of the file
            log.info("split", batch_id=batch.batch_id, status=batch.status, **asdict(batch.progress))


def _seconds_left(context: LambdaContext) -> float:
    return context.get_remaining_time_in_millis() / 1000
