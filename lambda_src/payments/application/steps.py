"""The workflow's steps, from an input state to an output state. The functions and the simulation run them.

A state is {"payment_id"} with "outcome" or "error", and in between "ask", "event_id", "gateway_reference",
"wait_seconds", "waited", "left", "ticket", "version" and "waits": ids, outcomes and numbers, no personal data.
"""

import math
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, replace
from datetime import datetime, timedelta
from typing import Any

from payments.application.audit import audit
from payments.application.batch.close_rows import BatchRows
from payments.application.chain_heads import ChainHeads
from payments.application.charge import PROVEN_NOT_CHARGED, Charging, as_recorded, may_call_gateway
from payments.application.gateway_rate_limiter import LONGEST_TICKET_SECONDS, GatewayRateLimiter, Ticket
from payments.application.rate_limited_gateway import RateLimitedGateway
from payments.application.record import record, shows
from payments.application.sealed_payments import Unlocked, unlocked
from payments.application.validate import PaymentMethods, validate
from payments.domain.clock import Clock, iso, parse_iso
from payments.domain.deadline import REFUSALS
from payments.domain.errors import POLICIES, PaymentError, RateLimited
from payments.domain.events import payment_event
from payments.domain.gateway_event import EventState
from payments.domain.money import Money
from payments.domain.outcome import Outcome, answered, outcome_of
from payments.domain.payment import Payment
from payments.domain.sealed_fields import reference_digest
from payments.domain.statuses import CAPTURED, Status
from payments.ports.audit_store import AuditStore
from payments.ports.event_store import EventStore
from payments.ports.payment_store import PaymentStore, require
from payments.ports.row_encryptor import RowEncryptor
from payments.ports.slot_counter import NoFreeSlot

State = dict[str, Any]
LONGEST_WAIT_SECONDS = 900
"""The longest wait before an attempt, even if the gateway requests more."""
SLOT_WAIT_SECONDS = 5
"""How long a payment without a ticket waits before it requests a slot again. The wait doubles each time, up to
LONGEST_WAIT_SECONDS; a random wait of up to the same length is added."""
HELD_FOR = timedelta(minutes=1)
"""How long after a ticket begins only its holder works on the payment. Its request has an answer by then."""
_MAY_BE_CHARGED = CAPTURED | {Status.PROCESSING, Status.UNKNOWN, Status.REQUIRES_ACTION, Status.IN_REVIEW}
"""The statuses in which the reference that an event names is kept."""
_ANSWERS = CAPTURED | {Status.DECLINED, Status.REQUIRES_ACTION, Status.PROCESSING}
"""The outcomes that only an answer of the gateway about the payment gives."""
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
    longest_wait_seconds: int = 0,
    hold: Callable[[Payment], Outcome | None] = lambda _: None,
    declined: Callable[[Payment], None] = lambda _: None,
) -> State:
    """Charge within the gateway's rate. If the gateway answers 429, return how long the workflow has to wait.

    `hold` gives the outcome of a payment that must not be sent now. The execution ends with it. `declined` receives the
    row of a payment that the gateway declined.

    The row then holds that time, and every execution waits for it. Waits are not attempts, and end at a deadline.

    Without a slot within seconds, a REST payment gets a ticket: a slot far ahead. The row holds the ticket's time, and
    this execution returns for it once. A ticket that is missed, used, or no longer the row's is replaced, never used
    late. A batch payment gets none: REST payments go first, and its dispatch slows down before it comes to that.

    With `longest_wait_seconds` above 0 the waits of one execution take no longer in all: Express executions end after
    five minutes. The step then returns "left", and recovery continues at the time on the row.

    The gateway's reference is kept on the row as soon as it is known, also from an event or from an error that leaves
    the outcome unknown. From then on the gateway is queried by it, and not by a search, which lags.

    The payment's data key is obtained before anything is written or sent, so that every answer can be encrypted. A
    disabled key stops a charge (EncryptionUnavailable) but never loses one.
    """
    reconcile = bool(state.get("ask"))
    row = require(charging.store, state["payment_id"])
    what_for = {name: state[name] for name in ("payment_id", "ask", "event_id", "gateway_reference") if name in state}

    waited_until_now = state.get("waited", 0)

    def wait(seconds: int, **more: Any) -> State:
        if not longest_wait_seconds:
            return {**what_for, "wait_seconds": seconds, **more}
        if waited_until_now + seconds > longest_wait_seconds:
            return {**what_for, "left": True}
        return {**what_for, "wait_seconds": seconds, "waited": waited_until_now + seconds, **more}

    if not may_call_gateway(row, reconcile=reconcile):
        return {**what_for, "outcome": as_recorded(row).as_json()}
    if held := hold(row):
        return {**what_for, "outcome": held.as_json()}
    ticket = Ticket(**state["ticket"]) if "ticket" in state else None
    # otherwise the gateway or another execution gave the payment another time
    holds = ticket is not None and row.not_before == _held_until(ticket, rate_limiter)
    if not holds and (early := _seconds_until(row.not_before, charging.clock())):
        return wait(early)
    if not holds or row.version != state.get("version"):
        ticket = None  # nothing is left of it: a request was sent since
    if ticket and (seconds := rate_limiter.seconds_to_wait(ticket)):
        return wait(seconds, ticket=asdict(ticket), version=row.version)
    requests = 1 if row.status is Status.PENDING else 2  # else it is queried first, and then charged or canceled
    try:
        if not ticket:
            rate_limiter.require_room()  # an execution that surely finds no slot costs no call of KMS
        named = "" if row.gateway_reference or row.status not in _MAY_BE_CHARGED else state.get("gateway_reference", "")
        open_row = unlocked(replace(row, gateway_reference=row.gateway_reference or named), encryptor)
        if named:
            _keep_reference(charging.store, open_row, open_row.payment.gateway_reference)
        turn = rate_limiter.take(ticket)
        requests = 2  # from here on the payment may be sent
        charging = replace(
            charging,
            gateway=RateLimitedGateway(charging.gateway, turn),
            row_of=open_row.sealed,
            keep=lambda reference: _keep_reference(charging.store, open_row, reference),
        )
        try:
            outcome = answered(lambda: charging.charge(open_row.payment, reconcile=reconcile))
        except PaymentError as error:
            if not error.gateway_reference:
                raise
            if not isinstance(error, PROVEN_NOT_CHARGED):  # else a later attempt may make another charge
                _keep_reference(charging.store, open_row, error.gateway_reference)
            raise _sealed(error, open_row) from None
    except NoFreeSlot:
        row = require(charging.store, row.payment_id)  # the intent may be written
        within_seconds = longest_wait_seconds - waited_until_now if longest_wait_seconds else LONGEST_TICKET_SECONDS
        waits = state.get("waits", 0)
        return wait(**_line_up(row, requests, within_seconds, waits, charging, rate_limiter, jitter))
    except RateLimited as error:
        now = charging.clock()
        waited = now - parse_iso(row.attempted_at) if row.attempted_at else timedelta(0)
        seconds = _seconds_to_wait(error, waited)
        seconds += jitter(seconds)
        charging.store.postpone(row.payment_id, now + timedelta(seconds=seconds))
        fails_by_hold = row.status is Status.PENDING and error.code in REFUSALS  # its deadline may stand still
        if not fails_by_hold and now - _limited_since(row, error, now) >= charging.timeouts.deadline:
            raise  # a payment that was never sent fails; every other one keeps its status, and recovery restarts it
        return wait(seconds)
    if outcome is None:
        raise AssertionError("charge returns an outcome or raises")
    if outcome.status is Status.DECLINED:
        declined(row)
    sealed = replace(
        outcome,
        gateway_reference=open_row.sealed_reference(outcome.gateway_reference),
        reference_digest=reference_digest(row.payment_id, outcome.gateway_reference),
    )
    return {**what_for, "outcome": sealed.as_json()}


def _line_up(
    row: Payment,
    requests: int,
    within_seconds: int,
    waits: int,
    charging: Charging,
    rate_limiter: GatewayRateLimiter,
    jitter: Jitter,
) -> State:
    """How a payment without a slot waits, which its row holds as well: for a ticket, or each time longer."""
    if row.source == "rest":
        with suppress(NoFreeSlot):
            ticket = rate_limiter.take_ticket(requests, within_seconds)
            charging.store.postpone(row.payment_id, rate_limiter.begins(ticket) + HELD_FOR)
            seconds = rate_limiter.seconds_to_wait(ticket)
            return {"seconds": seconds, "ticket": asdict(ticket), "version": row.version}
    seconds = min(SLOT_WAIT_SECONDS * 2**waits, LONGEST_WAIT_SECONDS)
    seconds += jitter(seconds)
    charging.store.postpone(row.payment_id, charging.clock() + timedelta(seconds=seconds))
    return {"seconds": seconds, "waits": min(waits + 1, 10)}


def _held_until(ticket: Ticket, rate_limiter: GatewayRateLimiter) -> str:
    return iso(rate_limiter.begins(ticket) + HELD_FOR)


def record_step(state: Mapping[str, Any], *, store: PaymentStore, events: EventStore, clock: Clock) -> Payment:
    """Write the outcome, or the meaning of a caught error, to the payment's row, and return the row.

    If a gateway event caused the query, the event is settled once the gateway gave an answer about its payment and the
    row has it. Until then the event stays parked, and recovery decides again by the payment's row.
    """
    outcome = outcome_of(state)
    payment = record(state["payment_id"], outcome, store=store, clock=clock)
    answered_it = "error" not in state and outcome.status in _ANSWERS and shows(payment, outcome)
    if state.get("event_id") and answered_it:
        events.settle(state["event_id"], EventState.APPLIED, clock())
    return payment


def audit_step(
    state: Mapping[str, Any], *, store: PaymentStore, log: AuditStore, heads: ChainHeads, rows: BatchRows
) -> State:
    """Append the missing audit entries, close the payment's batch row, and return the event to publish."""
    payment = require(store, state["payment_id"])
    audit(payment, log=log, heads=heads)
    rows.close(payment)
    return {"payment_id": payment.payment_id, "status": payment.status, "event": payment_event(payment)}


def _keep_reference(store: PaymentStore, open_row: Unlocked, reference: str) -> None:
    payment_id = open_row.row.payment_id
    store.keep_reference(payment_id, open_row.sealed_reference(reference), reference_digest(payment_id, reference))


def _sealed(error: PaymentError, open_row: Unlocked) -> PaymentError:
    """The error with its gateway reference encrypted, as the state machine and the log may hold it."""
    return type(error)(
        error.code,
        error.message,
        gateway_reference=open_row.sealed_reference(error.gateway_reference),
        retry_after_seconds=error.retry_after_seconds,
        outage=error.outage,
    )


def _held(payment: Payment) -> Outcome | None:
    """The hold that a fraud rule placed at acceptance; None once an operator released the payment."""
    if not payment.hold or any(change.status is Status.IN_REVIEW for change in payment.history):
        return None
    return Outcome(Status.IN_REVIEW, payment.hold, "a fraud rule holds the payment; an operator decides")


def _seconds_until(not_before: str, now: datetime) -> int:
    """Whole seconds until a payment may be sent; 0 if it may be sent now."""
    if not_before <= iso(now):
        return 0
    return min(math.ceil((parse_iso(not_before) - now).total_seconds()), 2 * LONGEST_WAIT_SECONDS)


def _limited_since(row: Payment, error: RateLimited, now: datetime) -> datetime:
    """When the gateway first limited the payment. Each such attempt of a `pending` payment is in its history; attempts
    that ended otherwise, for example with a rejected key, do not count. Later statuses count from the first send."""
    if row.status is Status.PENDING:
        return parse_iso(min((change.at for change in row.history if change.code == error.code), default=iso(now)))
    return parse_iso(row.attempted_at or iso(now))


def _seconds_to_wait(error: RateLimited, waited: timedelta) -> int:
    """Seconds until the next attempt: as the gateway requested, or as long as the payment waited until now."""
    policy = POLICIES[RateLimited]
    own = min(max(int(waited.total_seconds()), policy.interval_seconds), policy.max_delay_seconds)
    return max(min(error.retry_after_seconds, LONGEST_WAIT_SECONDS), own)
