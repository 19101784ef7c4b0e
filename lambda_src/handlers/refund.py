"""Refund: send a refund or ask the gateway about it, or compare all refunds of a payment."""

import random
import time
from datetime import timedelta
from typing import Any

from payments.adapters import aws_clients as aws
from payments.adapters.dynamodb.batch_breaker import DynamoBreakerStore
from payments.adapters.dynamodb.instrumented_payments import InstrumentedPaymentStore
from payments.adapters.dynamodb.refunds import DynamoRefundStore
from payments.adapters.dynamodb.slots import DynamoSlotStore
from payments.adapters.kms import KmsFieldEncryptor
from payments.adapters.secrets_manager import GatewayKey
from payments.adapters.step_functions import StepFunctionsRefunds, refund_machine_of
from payments.adapters.stripe.refunds import StripeRefunds
from payments.application.gateway_rate_limiter import GatewayRateLimiter
from payments.application.guarded_refunds import GuardedRefunds
from payments.application.refund import Refunding
from payments.application.refund_steps import refund_step
from payments.config import setting
from payments.domain.clock import utc_now
from payments.domain.recovery_timeouts import RecoveryTimeouts
from payments.observability.logs import invocation, logger
from payments.observability.metrics import GATEWAY_MISCONFIGURED, count, timed

dynamodb = aws.dynamodb()
timeouts = RecoveryTimeouts(timedelta(seconds=int(setting("PATIENCE_SECONDS"))))
key = GatewayKey(aws.secrets_manager(), setting("GATEWAY_SECRET_ARN"), mode=setting("GATEWAY_MODE"))
breaker = DynamoBreakerStore(dynamodb, setting("CONTROLS_TABLE"))
slot = timedelta(microseconds=int(setting("SLOT_MICROSECONDS")))
rate_limiter = GatewayRateLimiter(DynamoSlotStore(dynamodb, setting("CONTROLS_TABLE"), slot), slot, utc_now, time.sleep)
workflow = StepFunctionsRefunds(aws.step_functions(), refund_machine_of(setting("STATE_MACHINE_ARN")))
log = logger()


def refused() -> None:
    """Read the gateway's key again after it was rejected, and count it. A key may charge and not refund: the breaker
    of charges stays as it is."""
    key.forget()
    count(GATEWAY_MISCONFIGURED)


refunding = Refunding(
    gateway=GuardedRefunds(StripeRefunds(key.read, base_url=setting("STRIPE_API_BASE")), refused),
    payments=InstrumentedPaymentStore(dynamodb, setting("PAYMENTS_TABLE"), timeouts=timeouts),
    refunds=DynamoRefundStore(dynamodb, setting("REFUNDS_TABLE"), setting("PAYMENTS_TABLE"), timeouts),
    encryptor=KmsFieldEncryptor(aws.kms(), setting("VAULT_KEY_ARN")),
    clock=utc_now,
    timeouts=timeouts,
    environment_id=setting("ENVIRONMENT_ID"),
    is_open=lambda: breaker.state().is_open,
)


def jitter(most: int) -> int:
    """A random integer from 0 to `most`."""
    return random.randint(0, most)  # noqa: S311 - it spreads retries and needs no security


@invocation
@timed("refund")
def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """State in: refund_id and payment_id, or payment_id. State out: the same and the event, or how long to wait."""
    state = refund_step(event, refunding=refunding, rate_limiter=rate_limiter, workflow=workflow, jitter=jitter)
    ids = {"payment_id": event["payment_id"], "refund_id": event.get("refund_id")}
    if "event" in state:
        log.info("refunded", extra={**ids, "status": state["event"]["status"]})
    else:
        log.info("waiting" if "wait_seconds" in state else "compared", extra=ids)
    return state
