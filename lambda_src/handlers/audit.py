"""Audit: append missing entries to the audit log, close the payment's batch row, and return the event to publish."""

from typing import Any

from payments.adapters import aws_clients as aws
from payments.adapters.dynamodb.audit import DynamoAuditStore
from payments.adapters.dynamodb.batches import DynamoBatchStore
from payments.adapters.dynamodb.instrumented_payments import InstrumentedPaymentStore
from payments.adapters.lambda_functions import FunctionStarter
from payments.application.batch.close_rows import BatchRows
from payments.application.steps import audit_step
from payments.config import setting
from payments.observability.logs import invocation, logger
from payments.observability.metrics import timed

dynamodb = aws.dynamodb()
store = InstrumentedPaymentStore(dynamodb, setting("PAYMENTS_TABLE"))
audit_log = DynamoAuditStore(dynamodb, setting("AUDIT_TABLE"), setting("PAYMENTS_TABLE"))
batches = DynamoBatchStore(dynamodb, setting("PROCESSING_STATUS_TABLE"), setting("PAYMENTS_TABLE"))
start_report = FunctionStarter(aws.functions(), setting("REPORT_FUNCTION"))
batch_rows = BatchRows(batches, lambda batch_id: start_report({"batch_id": batch_id}))
log = logger()


@invocation
@timed("audit")
def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """State in: payment_id. State out: payment_id, status, and the event for subscribers."""
    state = audit_step(event, store=store, log=audit_log, rows=batch_rows)
    log.info("audited", payment_id=state["payment_id"], status=state["status"])
    return state
