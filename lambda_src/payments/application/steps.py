"""The workflow's steps, from an input state to an output state. The functions and the simulation run them.

A state is {"payment_id"} with "outcome" or "error", and in between "ask", "event_id", "waits" and "wait_seconds": ids,
outcomes and numbers, no personal data. The gateway's reference in it is encrypted.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from payments.application.audit import audit
from payments.application.batch.close_rows import BatchRows
from payments.application.charge import Charging, as_recorded, may_call_gateway
from payments.application.gateway_rate_limiter import GatewayRateLimiter
from payments.application.rate_limited_gateway import RateLimitedGateway
from payments.application.record import record
from payments.application.validate import PaymentMethods, validate
from payments.domain.clock import Clock
from payments.domain.errors import POLICIES, PaymentError, RateLimited
from payments.domain.events import payment_event
from payments.domain.gateway_event import EventState
from payments.domain.money import Money
from payments.domain.outcome import Outcome, answered, outcome_of
from payments.domain.payment import Payment
from payments.domain.statuses import Status
from payments.ports.audit_store import AuditStore
from payments.ports.event_store import EventStore
from payments.ports.payment_store import PaymentStore, require
from payments.ports.row_encryptor import RowEncryptor
from payments.ports.sealed_payments import Unlocked, unlocked
from payments.ports.slot_counter import NoFreeSlot

State = dict[str, Any]
LONGEST_WAIT_SECONDS = 900
"""The longest wait before an attempt, even if the gateway requests more. All attempts end within the day in which the
gateway still remembers our idempotency key."""
OWN_PACE_SECONDS = 5
"""How long the workflow waits before it requests a slot again; a random wait of up to the same length is added."""
Jitter = Callable[[int], int]
"""Returns a random integer from 0 to its argument."""


def validate_step(
    state: Mapping[str, Any], *, store: PaymentStore, methods: PaymentMethods, refusal: Callable[[Money], str | None]
) -> State:
    """Reject a payment that can never be charged. A payment that is not `pending` any more passes unchecked."""
    payment = require(store, state["payment_id"])
    if payment.status is not Status.PENDING:
        return dict(state)
    refused = answered(lambda: validate(payment, methods=methods, refusal=refusal)) or _held(payment)
    return dict(state) | ({"outcome": refused.as_json()} if refused else {})


def charge_step(
    state: Mapping[str, Any],
    *,
    charging: Charging,
    encryptor: RowEncryptor,
    rate_limiter: GatewayRateLimiter,
    jitter: Jitter,
) -> State:
    """Charge within the gateway's rate. If the gateway requests a delay, return how long the workflow has to wait.

    The payment's data key is obtained before anything is written or sent, so that every answer can be encrypted. A
    disabled key stops a charge (EncryptionUnavailable) but never loses one.
    """
    waits, reconcile = int(state.get("waits", 0)), bool(state.get("ask"))
    row = require(charging.store, state["payment_id"])
    what_for = {name: state[name] for name in ("payment_id", "ask", "event_id") if name in state}

    def wait(seconds: int, waits: int) -> State:
        return {**what_for, "waits": waits, "wait_seconds": seconds + jitter(seconds)}

    if not may_call_gateway(row, reconcile=reconcile):
        return {**what_for, "outcome": as_recorded(row).as_json()}
    try:
        open_row = unlocked(row, encryptor)
        turn = rate_limiter.take()
        charging = replace(charging, gateway=RateLimitedGateway(charging.gateway, turn), row_of=open_row.sealed)
        outcome = answered(lambda: charging.charge(open_row.payment, reconcile=reconcile))
    except NoFreeSlot:
        return wait(OWN_PACE_SECONDS, waits)  # caused by our own rate limit: it does not count as an attempt
    except PaymentError as error:
        seconds = _seconds_to_wait(error, waits)
        if not seconds and error.gateway_reference:
            raise _sealed(error, open_row) from None
        if not seconds:
            raise
        return wait(seconds, waits + 1)
    if outcome is None:
        raise AssertionError("charge returns an outcome or raises")
    sealed = replace(outcome, gateway_reference=open_row.sealed_reference(outcome.gateway_reference))
    return {**what_for, "outcome": sealed.as_json()}


def record_step(state: Mapping[str, Any], *, store: PaymentStore, events: EventStore, clock: Clock) -> Payment:
    """Write the outcome, or the meaning of a caught error, to the payment's row, and return the row.

    If a gateway event caused the query, the event is settled once the gateway gave a final answer.
    """
    outcome = outcome_of(state)
    payment = record(state["payment_id"], outcome, store=store, clock=clock)
    if state.get("event_id") and "error" not in state and outcome.status is not Status.IN_REVIEW:
        events.settle(state["event_id"], EventState.APPLIED, clock())
    return payment


def audit_step(state: Mapping[str, Any], *, store: PaymentStore, log: AuditStore, rows: BatchRows) -> State:
    """Append the missing audit entries, close the payment's batch row, and return the event to publish."""
    payment = require(store, state["payment_id"])
    audit(payment, log=log)
    rows.close(payment)
    return {"payment_id": payment.payment_id, "status": payment.status, "event": payment_event(payment)}


def _sealed(error: PaymentError, open_row: Unlocked) -> PaymentError:
    """The error with its gateway reference encrypted, as the state machine and the log may hold it."""
    return type(error)(
        error.code,
        error.message,
        gateway_reference=open_row.sealed_reference(error.gateway_reference),
        retry_after_seconds=error.retry_after_seconds,
    )


def _held(payment: Payment) -> Outcome | None:
    """The hold that a fraud rule placed at acceptance; None once an operator released the payment."""
    if not payment.hold or any(change.status is Status.IN_REVIEW for change in payment.history):
        return None
    return Outcome(Status.IN_REVIEW, payment.hold, "a fraud rule holds the payment; an operator decides")


def _seconds_to_wait(error: PaymentError, waits: int) -> int:
    """Seconds until the next attempt: as the gateway requested, or growing with each wait. 0 if waiting cannot help."""
    policy = POLICIES[type(error)]
    most = POLICIES[RateLimited].max_attempts
    if waits >= most or not (policy.waits_as_requested or error.retry_after_seconds):
        return 0
    requested = min(error.retry_after_seconds, LONGEST_WAIT_SECONDS)
    own: int = min(policy.interval_seconds * policy.backoff_rate**waits, policy.max_delay_seconds)
    return max(requested, own)
