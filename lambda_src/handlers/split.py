"""Split: read an uploaded batch file, store its payments, and queue their ids."""

from dataclasses import asdict
from functools import partial
from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from payments.adapters import aws_clients as aws
from payments.adapters.dynamodb.batch_breaker import DynamoBreakerStore
from payments.adapters.dynamodb.batches import DynamoBatchStore
from payments.adapters.dynamodb.customers import DynamoCustomerStore
from payments.adapters.dynamodb.limits import DynamoLimitStore
from payments.adapters.dynamodb.payments import DynamoPaymentStore
from payments.adapters.kms import KmsFieldEncryptor, KmsTextHasher
from payments.adapters.lambda_functions import FunctionStarter
from payments.adapters.s3 import S3BatchFiles
from payments.adapters.sqs import SqsPaymentQueue
from payments.application.batch.close_rows import BatchRows
from payments.application.batch.row_rules import rules_of
from payments.application.batch.split import Splitter, sources_in
from payments.application.id_rules import IdRules
from payments.application.open_mark import OpenMark
from payments.application.searchable_metadata import SearchableMetadata
from payments.application.velocity import Addresses, MerchantTable, Velocity
from payments.config import setting
from payments.domain.batch.state import BatchStatus
from payments.domain.clock import utc_now
from payments.domain.merchants import Merchants
from payments.observability.logs import invocation, logger
from payments.observability.metrics import PAYMENTS_ACCEPTED, count

dynamodb, functions = aws.dynamodb(), aws.functions()
batches = DynamoBatchStore(dynamodb, setting("PROCESSING_STATUS_TABLE"), setting("PAYMENTS_TABLE"))
start_report = FunctionStarter(functions, setting("REPORT_FUNCTION"))
start_split = FunctionStarter(functions, setting("AWS_LAMBDA_FUNCTION_NAME"))
payments = DynamoPaymentStore(
    dynamodb, setting("PAYMENTS_TABLE"), KmsFieldEncryptor(aws.kms(), setting("VAULT_KEY_ARN"))
)
ids = IdRules(
    Merchants.parse(setting("MERCHANTS", "")),
    payments,
    DynamoCustomerStore(dynamodb, setting("CUSTOMERS_TABLE")),
    batches.former_of,
)
hasher = KmsTextHasher(aws.kms(), setting("EMAIL_HASH_KEY_ARN"))
mark = OpenMark(DynamoBreakerStore(dynamodb, setting("CONTROLS_TABLE")), utc_now)
splitter = Splitter(
    payments=payments,
    batches=batches,
    queue=SqsPaymentQueue(aws.sqs(), setting("PAYMENT_QUEUE_URL")),
    files=S3BatchFiles(aws.s3()),
    rows=BatchRows(batches, lambda batch_id: start_report({"batch_id": batch_id})),
    continue_later=lambda source: start_split({"resume": asdict(source)}),
    rules_of=partial(rules_of, ids=ids),
    clock=utc_now,
    metadata_hash_of=SearchableMetadata(setting("SEARCHABLE_METADATA", ""), hasher).hash_of,
    velocity=Velocity(DynamoLimitStore(dynamodb, setting("LIMITS_TABLE")), Addresses(hasher), MerchantTable()),
    is_open=mark.is_open,
)
log = logger()


@invocation
def handler(event: dict[str, Any], context: LambdaContext) -> None:
    """Event in: an S3 notification, or {"resume": …} from an earlier run that reached its time limit."""
    for source in sources_in(event):
        batch = splitter.split(source, owner=context.aws_request_id, seconds_left=partial(_seconds_left, context))
        if batch is None:
            log.info("another run owns this file", batch_id=source.batch_id)
        else:
            if batch.status is not BatchStatus.SPLITTING and batch.progress.payments:
                count(PAYMENTS_ACCEPTED, batch.progress.payments, step="split")  # once, at the end of the file
            log.info("split", batch_id=batch.batch_id, status=batch.status, **asdict(batch.progress))


def _seconds_left(context: LambdaContext) -> float:
    return context.get_remaining_time_in_millis() / 1000
