"""Sweep: once a minute, find payments, events and batches that stopped, and recover them."""

import time
from dataclasses import asdict
from datetime import timedelta
from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from payments.adapters import aws_clients as aws
from payments.adapters.dynamodb.batch_breaker import DynamoBreakerStore
from payments.adapters.dynamodb.batches import DynamoBatchStore
from payments.adapters.dynamodb.events import DynamoEventStore
from payments.adapters.dynamodb.lease import DynamoLease
from payments.adapters.dynamodb.payments import DynamoPaymentStore
from payments.adapters.dynamodb.refunds import DynamoRefundStore
from payments.adapters.dynamodb.slots import DynamoSlotStore
from payments.adapters.event_source_mapping import MappingDelivery
from payments.adapters.kms import KmsFieldEncryptor
from payments.adapters.lambda_functions import FunctionStarter
from payments.adapters.secrets_manager import GatewayKey
from payments.adapters.sqs import SqsPaymentQueue
from payments.adapters.step_functions import StepFunctionsRefunds, StepFunctionsWorkflow, refund_machine_of
from payments.adapters.stripe.gateway import StripeGateway
from payments.application.batch.close_rows import BatchRows
from payments.application.charge_list import SLOTS_A_PAGE, ChargeList
from payments.application.gateway_rate_limiter import GatewayRateLimiter
from payments.application.guarded_gateway import GuardedGateway
from payments.application.recover import PaymentRecovery
from payments.application.recover_refunds import RefundRecovery
from payments.application.webhooks import Webhooks
from payments.config import setting
from payments.domain.clock import utc_now
from payments.domain.errors import Misconfigured, PaymentError
from payments.domain.fraud_hold import Verdict
from payments.domain.recovery_timeouts import RecoveryTimeouts
from payments.observability.logs import invocation, logger
from payments.observability.metrics import (
    BATCHES_HELD,
    BATCHES_PAUSED,
    BATCHES_STUCK,
    CONTRADICTING_EVENTS,
    GATEWAY_UNREACHABLE,
    PAUSED_BY_OPERATOR,
    PAYMENTS_IN_REVIEW,
    PAYMENTS_OVERDUE,
    REFUNDS_TO_LOOK_AT,
    count,
    count_backlog,
)

METRICS = {
    "in_review": PAYMENTS_IN_REVIEW,
    "overdue": PAYMENTS_OVERDUE,
    "lane_paused": BATCHES_PAUSED,
    "gateway_unreachable": GATEWAY_UNREACHABLE,
    "paused_by_operator": PAUSED_BY_OPERATOR,
    "batches_held": BATCHES_HELD,
    "contradicting_events": CONTRADICTING_EVENTS,
    "batches_stuck": BATCHES_STUCK,
    "refunds_to_look_at": REFUNDS_TO_LOOK_AT,
}
"""Findings that an operator must know → the metric whose alarm fires."""

dynamodb, functions = aws.dynamodb(), aws.functions()
timeouts = RecoveryTimeouts(
    timedelta(seconds=int(setting("PATIENCE_SECONDS"))),
    timedelta(seconds=int(setting("GATEWAY_DEADLINE_SECONDS"))),
    timedelta(hours=int(setting("FRAUD_HOLD_HOURS"))),
)
payments = DynamoPaymentStore(dynamodb, setting("PAYMENTS_TABLE"), timeouts=timeouts)
batches = DynamoBatchStore(dynamodb, setting("PROCESSING_STATUS_TABLE"), setting("PAYMENTS_TABLE"))
events = DynamoEventStore(dynamodb, setting("GATEWAY_EVENTS_TABLE"))
workflow = StepFunctionsWorkflow(aws.step_functions(), setting("STATE_MACHINE_ARN"))
refund_workflow = StepFunctionsRefunds(aws.step_functions(), refund_machine_of(setting("STATE_MACHINE_ARN")))
refunds = DynamoRefundStore(dynamodb, setting("REFUNDS_TABLE"), setting("PAYMENTS_TABLE"), timeouts)
encryptor = KmsFieldEncryptor(aws.kms(), setting("VAULT_KEY_ARN"))
key = GatewayKey(aws.secrets_manager(), setting("GATEWAY_SECRET_ARN"), mode=setting("GATEWAY_MODE"))
report = FunctionStarter(functions, setting("REPORT_FUNCTION"))
split = FunctionStarter(functions, setting("SPLIT_FUNCTION"))
slot = timedelta(microseconds=int(setting("SLOT_MICROSECONDS")))
page_slot = SLOTS_A_PAGE * slot
pages = GatewayRateLimiter(
    DynamoSlotStore(dynamodb, setting("CONTROLS_TABLE"), page_slot), page_slot, utc_now, time.sleep
)
log = logger()


def refused(_: str, error: PaymentError) -> None:
    """Read the key again after it was rejected."""
    if isinstance(error, Misconfigured):
        key.forget()


gateway = GuardedGateway(StripeGateway(key.read, base_url=setting("STRIPE_API_BASE")), refused)
failures: list[Exception] = []
"""The errors of single items in the current run."""


def start_report(batch_id: str) -> None:
    """Start the report of a batch."""
    report({"batch_id": batch_id})


def note(found: str, number: int) -> None:
    """Count a finding that an operator must know."""
    if found in METRICS:
        count(METRICS[found], number)


recovery = PaymentRecovery(
    payments=payments,
    batches=batches,
    events=events,
    queue=SqsPaymentQueue(aws.sqs(), setting("PAYMENT_QUEUE_URL")),
    workflow=workflow,
    webhooks=Webhooks(
        events, payments, workflow, utc_now, encryptor, setting("ENVIRONMENT_ID"), refunds=refund_workflow
    ),
    gateway=gateway,
    charge_list=ChargeList(gateway, payments, encryptor, pages, utc_now, timeouts),
    breaker=DynamoBreakerStore(dynamodb, setting("CONTROLS_TABLE")),
    delivery=MappingDelivery(functions, setting("DISPATCH_MAPPING_ID")),
    rows=BatchRows(batches, start_report),
    lease=DynamoLease(dynamodb, setting("CONTROLS_TABLE")),
    resume_split=lambda source: split({"resume": asdict(source)}),
    start_report=start_report,
    clock=utc_now,
    sleep=time.sleep,
    timeouts=timeouts,
    slot=slot,
    at_end_of_hold={"reject": Verdict.EXPIRED, "approve": Verdict.RELEASED}[setting("FRAUD_HOLD_OUTCOME")],
    refunds=RefundRecovery(refunds, refund_workflow, utc_now, timeouts),
    on_error=failures.append,
    on_found=note,
    on_backlog=lambda kind, backlog: count_backlog(kind, backlog, utc_now()),
)


@invocation
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, int]:
    """Event in: any. Out: the number of findings by kind. Raises the errors of single items after all other work."""
    failures.clear()
    began_at = time.monotonic()
    found = recovery.recover(lambda: context.get_remaining_time_in_millis() / 1000, context.aws_request_id)
    log.info("swept", extra={"seconds": round(time.monotonic() - began_at, 1), **found})
    for error in failures[:10]:  # Lambda prints only the size of an exception group
        log.error("not recovered", reason=f"{type(error).__name__}: {error}")
    if failures:  # the other items are done; the function's alarm reports these
        raise ExceptionGroup(f"{len(failures)} items could not be recovered", failures[:10])
    return dict(found)
