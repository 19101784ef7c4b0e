"""Charge: read the payment, charge it at the gateway, return the outcome."""

import random
import time
from datetime import timedelta
from typing import Any

from payments.adapters import aws_clients as aws
from payments.adapters.dynamodb.batch_breaker import DynamoBreakerStore
from payments.adapters.dynamodb.batches import DynamoBatchStore
from payments.adapters.dynamodb.customers import DynamoCustomerStore
from payments.adapters.dynamodb.instrumented_payments import InstrumentedPaymentStore
from payments.adapters.dynamodb.limits import DynamoLimitStore
from payments.adapters.dynamodb.slots import DynamoSlotStore
from payments.adapters.dynamodb.tokens import DynamoTokenStore
from payments.adapters.kms import KmsFieldEncryptor
from payments.adapters.secrets_manager import GatewayKey
from payments.adapters.stripe.gateway import StripeGateway
from payments.application.batch.switches import Switches
from payments.application.batch_breaker import BatchBreaker
from payments.application.charge import Charging
from payments.application.gateway_rate_limiter import GatewayRateLimiter
from payments.application.guarded_gateway import GuardedGateway
from payments.application.hold import Hold
from payments.application.steps import charge_step
from payments.application.validate import PaymentMethods
from payments.application.velocity import note_decline
from payments.config import setting
from payments.domain.clock import utc_now
from payments.domain.errors import SEVERAL_CHARGES, SUSPICIOUS_DECLINE_CODES, Misconfigured, PaymentError
from payments.domain.recovery_timeouts import RecoveryTimeouts
from payments.domain.statuses import Status
from payments.observability.logs import invocation, logger
from payments.observability.metrics import (
    CHARGES_DIFFER,
    GATEWAY_MISCONFIGURED,
    GATEWAY_UNREACHABLE,
    PAYMENTS_IN_REVIEW,
    SEVERAL_CHARGES_FOUND,
    SUSPICIOUS_DECLINES,
    count,
    note_backlog,
    timed,
)

dynamodb = aws.dynamodb()
timeouts = RecoveryTimeouts(
    timedelta(seconds=int(setting("PATIENCE_SECONDS"))), timedelta(seconds=int(setting("GATEWAY_DEADLINE_SECONDS")))
)
encryptor = KmsFieldEncryptor(aws.kms(), setting("VAULT_KEY_ARN"))
key = GatewayKey(aws.secrets_manager(), setting("GATEWAY_SECRET_ARN"), mode=setting("GATEWAY_MODE"))
breaker_store = DynamoBreakerStore(dynamodb, setting("CONTROLS_TABLE"))
breaker = BatchBreaker(breaker_store, utc_now)
batches = DynamoBatchStore(dynamodb, setting("PROCESSING_STATUS_TABLE"), setting("PAYMENTS_TABLE"))
# both are read before each send: the environment may be closed, and nothing is sent after a cancel
switches = Switches(batches, utc_now, remembered_for=timedelta(0))
hold = Hold(breaker_store, utc_now, timeouts, switches.of, remembered_for=timedelta(0))
slot = timedelta(microseconds=int(setting("SLOT_MICROSECONDS")))
rate_limiter = GatewayRateLimiter(DynamoSlotStore(dynamodb, setting("CONTROLS_TABLE"), slot), slot, utc_now, time.sleep)
limits = DynamoLimitStore(dynamodb, setting("LIMITS_TABLE"))
longest_wait_seconds = int(setting("LONGEST_WAIT_SECONDS", "0"))
log = logger()


def refused(payment_id: str, error: PaymentError) -> None:
    """Handle an outage, or a rejected key or account: read the key again, count, pause the breaker if needed."""
    if isinstance(error, Misconfigured):
        key.forget()
        count(GATEWAY_MISCONFIGURED)
    if breaker.refused(payment_id, error):
        log.error("batch breaker paused", code=error.code)
    if breaker.out_of_reach:
        count(GATEWAY_UNREACHABLE)


charging = Charging(
    gateway=GuardedGateway(StripeGateway(key.read, base_url=setting("STRIPE_API_BASE")), refused, breaker.answered),
    methods=PaymentMethods(
        DynamoCustomerStore(dynamodb, setting("CUSTOMERS_TABLE")),
        setting("DEFAULT_PAYMENT_METHOD", ""),
        DynamoTokenStore(dynamodb, setting("TOKENS_TABLE")),
        utc_now,
        encryptor,
    ),
    store=InstrumentedPaymentStore(dynamodb, setting("PAYMENTS_TABLE"), timeouts=timeouts),
    clock=utc_now,
    timeouts=timeouts,
    environment_id=setting("ENVIRONMENT_ID"),
    former_of=batches.former_of,
)


def jitter(most: int) -> int:
    """A random integer from 0 to `most`."""
    return random.randint(0, most)  # noqa: S311 - it spreads retries and needs no security


@invocation
@timed("charge")
def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """State in: payment_id. State out: payment_id and outcome, or how long to wait. Raises errors to be retried."""
    state = charge_step(
        event,
        charging=charging,
        encryptor=encryptor,
        rate_limiter=rate_limiter,
        jitter=jitter,
        longest_wait_seconds=longest_wait_seconds,
        hold=hold,
        declined=lambda row: note_decline(limits, row.card_counters, utc_now()),
    )
    outcome = state.get("outcome", {})
    if outcome.get("code") in SUSPICIOUS_DECLINE_CODES:
        count(SUSPICIOUS_DECLINES)
    if outcome.get("status") == Status.IN_REVIEW:
        count(PAYMENTS_IN_REVIEW)  # recovery counts it again while it is held
        # each cause has an alarm, which a payment that is held already does not hide
        count(SEVERAL_CHARGES_FOUND if outcome["code"] == SEVERAL_CHARGES else CHARGES_DIFFER)
    if "ticket" in state:
        note_backlog(state["wait_seconds"])
    log.info(
        "charged" if outcome else "waiting",
        payment_id=event["payment_id"],
        status=outcome.get("status"),
        wait_seconds=state.get("wait_seconds"),
    )
    return state
