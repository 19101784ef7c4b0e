"""The steps of the workflow, from a state in to a state out: what each function runs, and the simulation as well.

A state is {"payment_id"} with "outcome" or "error", and on its way "ask", "event_id", "waits" and "wait_seconds": ids,
outcomes and numbers, nothing personal. The gateway's reference in it is sealed.
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
"""However long the gateway asks for, an attempt is made in a quarter of an hour: all of them end on the day on which
the gateway still knows our key."""
OWN_PACE_SECONDS = 5
"""How long the workflow waits before it asks again for a slot of our own pace, and as much again by chance."""
Jitter = Callable[[int], int]
"""Gives a random whole number from 0 to its argument."""


def validate_step(
    state: Mapping[str, Any], *, store: PaymentStore, methods: PaymentMethods, refusal: Callable[[Money], str | None]
) -> State:
    """Refuse what can never be charged. A payment that went further before is past this question."""
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
    """Charge in the gateway's pace; where the gateway asks for time, say how long the workflow has to wait.

    The payment's data key is in hand before anything is written or sent, so that whatever comes back can be sealed:
    a key that is disabled stops a charge (EncryptionUnavailable), and never loses one.
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
        return wait(OWN_PACE_SECONDS, waits)  # our own doing, and no reason to give a payment up
    except PaymentError as error:
        seconds = _seconds_to_wait(error, waits)
        if not seconds and error.gateway_reference:
            raise _sealed(error, open_row) from None
        if not seconds:
            raise
        return wait(seconds, waits + 1)
    if outcome is None:
        raise AssertionError("charge gives an outcome or raises")
    sealed = replace(outcome, gateway_reference=open_row.sealed_reference(outcome.gateway_reference))
    return {**what_for, "outcome": sealed.as_json()}


def record_step(state: Mapping[str, Any], *, store: PaymentStore, events: EventStore, clock: Clock) -> Payment:
    """Write the outcome, or what a caught error means, onto the payment's row; gives the row.

    The gateway's event that gave reason to ask is done with when the gateway gave an answer that stands.
    """
    outcome = outcome_of(state)
    payment = record(state["payment_id"], outcome, store=store, clock=clock)
    if state.get("event_id") and "error" not in state and outcome.status is not Status.IN_REVIEW:
        events.settle(state["event_id"], EventState.APPLIED, clock())
    return payment


def audit_step(state: Mapping[str, Any], *, store: PaymentStore, log: AuditStore, rows: BatchRows) -> State:
    """Append what the audit log lacks, close the payment's batch row, hand on the event to publish."""
    payment = require(store, state["payment_id"])
    audit(payment, log=log)
    rows.close(payment)
    return {"payment_id": payment.payment_id, "status": payment.status, "event": payment_event(payment)}


def _sealed(error: PaymentError, open_row: Unlocked) -> PaymentError:
    """The error as the state machine and the log may have it."""
    return type(error)(
        error.code,
        error.message,
        gateway_reference=open_row.sealed_reference(error.gateway_reference),
        retry_after_seconds=error.retry_after_seconds,
    )


def _held(payment: Payment) -> Outcome | None:
    """What a fraud rule said when the payment was accepted; not once a person let it go on."""
    if not payment.hold or any(change.status is Status.IN_REVIEW for change in payment.history):
        return None
    return Outcome(Status.IN_REVIEW, payment.hold, "a fraud rule holds it; a person decides")


def _seconds_to_wait(error: PaymentError, waits: int) -> int:
    """How long before the next attempt, as the gateway told, or growing from wait to wait; 0: not by waiting."""
    policy = POLICIES[type(error)]
    most = POLICIES[RateLimited].max_attempts
    if waits >= most or not (policy.waits_as_told or error.retry_after_seconds):
        return 0
    told = min(error.retry_after_seconds, LONGEST_WAIT_SECONDS)
    own: int = min(policy.interval_seconds * policy.backoff_rate**waits, policy.max_delay_seconds)
    return max(told, own)
