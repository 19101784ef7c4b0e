"""Audit: append missing entries to the audit log, close the payment's batch row, and return the event to publish."""

from datetime import timedelta
from typing import Any

from payments.adapters import aws_clients as aws
from payments.adapters.dynamodb.audit import DynamoAuditStore
from payments.adapters.dynamodb.batches import DynamoBatchStore
from payments.adapters.dynamodb.instrumented_payments import InstrumentedPaymentStore
from payments.adapters.kms import KmsChainSigner
from payments.adapters.lambda_functions import FunctionStarter
from payments.application.anchored_heads import AnchoredHeads
from payments.application.batch.close_rows import BatchRows
from payments.application.chain_heads import ChainHeads
from payments.application.steps import audit_step
from payments.config import setting
from payments.domain.audit_chain import AuditBroken, AuditEntry
from payments.domain.clock import utc_now
from payments.observability.logs import invocation, logger
from payments.observability.metrics import AUDIT_BROKEN, count, timed

dynamodb, kms = aws.dynamodb(), aws.kms()
store = InstrumentedPaymentStore(dynamodb, setting("PAYMENTS_TABLE"))
audit_log = DynamoAuditStore(dynamodb, setting("AUDIT_TABLE"), setting("PAYMENTS_TABLE"))
batches = DynamoBatchStore(dynamodb, setting("PROCESSING_STATUS_TABLE"), setting("PAYMENTS_TABLE"))
start_report = FunctionStarter(aws.functions(), setting("REPORT_FUNCTION"))
batch_rows = BatchRows(batches, lambda batch_id: start_report({"batch_id": batch_id}))
log = logger()


def was_first(head: AuditEntry) -> bool:
    """Whether the first anchor lists a head from before signatures existed. Rare: S3 is imported only for it."""
    from payments.adapters.s3_anchors import S3AnchorStore

    store = S3AnchorStore(aws.s3(), setting("ANCHOR_BUCKET"))
    signer = KmsChainSigner(kms, setting("ANCHOR_KEY_ARN"))
    return AnchoredHeads(store, signer, utc_now, timedelta(0)).was_first(head)


heads = ChainHeads(KmsChainSigner(kms, setting("AUDIT_KEY_ARN")), audit_log.entry, was_first)


@invocation
@timed("audit")
def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """State in: payment_id. State out: payment_id, status, and the event for subscribers."""
    try:
        state = audit_step(event, store=store, log=audit_log, heads=heads, rows=batch_rows)
    except AuditBroken as broken:
        log.error("audit broken", payment_id=event["payment_id"], reason=str(broken))
        count(AUDIT_BROKEN)
        raise
    log.info("audited", payment_id=state["payment_id"], status=state["status"])
    return state
