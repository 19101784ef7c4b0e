"""The workflow's steps from state to state: waits that the gateway requests, and the meaning of a step's last error."""

import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from fakes.audit import MemoryAuditStore
from fakes.batch_breaker import MemoryBreakerStore
from fakes.customers import MemoryCustomerStore
from fakes.events import MemoryEventStore
from fakes.field_encryptor import MemoryFieldEncryptor
from fakes.gateway import Fault, FaultKind, MemoryGateway
from fakes.payments import MemoryPaymentStore
from fakes.slots import MemorySlotStore
from fakes.tokens import MemoryTokenStore
from payments.application.batch.close_rows import BatchRows
from payments.application.charge import Charging
from payments.application.gateway_rate_limiter import GatewayRateLimiter
from payments.application.hold import Hold
from payments.application.sealed_payments import opened
from payments.application.steps import (
    LONGEST_WAIT_SECONDS,
    SLOT_WAIT_SECONDS,
    State,
    audit_step,
    charge_step,
    record_step,
    validate_step,
)
from payments.application.validate import PaymentMethods
from payments.domain.audit_chain import verify
from payments.domain.batch_breaker import PausedBy
from payments.domain.clock import iso
from payments.domain.errors import (
    LOCK_TIMEOUT,
    POLICIES,
    RATE_LIMIT,
    RESOURCE_RATE_LIMIT,
    Misconfigured,
    OutcomeUnknown,
    PaymentError,
    RateLimited,
)
from payments.domain.events import payment_event
from payments.domain.gateway_event import EventState
from payments.domain.money import Money
from payments.domain.outcome import Outcome
from payments.domain.payment import Payment
from payments.domain.recovery_timeouts import RecoveryTimeouts
from payments.domain.sealed_text import is_sealed
from payments.domain.statuses import Status
from payments.ports.payment_gateway import ChargeRequest, GatewayCharge
from payments.ports.slot_counter import NoFreeSlot
from tests.unit.builders import NOON, FixedClock, after, gateway_event, payment, versions
from tests.unit.chain_heads import heads_of
from tests.unit.charge_lists import charge_list, read_the_list
from tests.unit.interruptions import Interrupted


class Recording(MemoryGateway):
    """Records the requests to charge and their keys."""

    def __init__(self, clock: FixedClock) -> None:
        super().__init__(clock, search_lag=timedelta(minutes=1))
        self.requests: list[ChargeRequest] = []

    def charge(self, request: ChargeRequest) -> GatewayCharge:
        """Record the request, then charge."""
        self.requests.append(request)
        return super().charge(request)


class CountedSlots(MemorySlotStore):
    """Counts the slots that are taken, and has none when `free` is False."""

    def __init__(self) -> None:
        super().__init__()
        self.taken = 0
        self.free = True

    def take_slot(self, first: int, last: int, count: int = 1) -> int:
        """Count slots and return the first allowed one. Raises NoFreeSlot if none is free."""
        if not self.free:
            raise NoFreeSlot
        self.taken += count
        return first


def processed(status: Status) -> Payment:
    """A payment that may be charged, in a status after its first attempt."""
    passed = [Status.PROCESSING] if status is Status.PROCESSING else [Status.PROCESSING, status]
    return after(payment(), *passed, gateway_reference="pi_1", attempted_at=iso(NOON))


class StepScenario:
    """A payment, and the functions of its workflow."""

    def __init__(self, row: Payment | None = None) -> None:
        self.clock = FixedClock()
        self.gateway = Recording(self.clock)
        self.encryptor = MemoryFieldEncryptor()
        self.store = MemoryPaymentStore()
        self.slots = CountedSlots()
        self.events = MemoryEventStore()
        self.declined: list[Payment] = []
        self.methods = PaymentMethods(MemoryCustomerStore(), "", MemoryTokenStore(), self.clock)
        self.store.rows["pay_1"] = row or payment()

    def charge(
        self, state: State | None = None, jitter_seconds: int = 0, hold: Callable[..., Outcome | None] = lambda _: None
    ) -> State:
        return charge_step(
            state or {"payment_id": "pay_1"},
            charging=Charging(self.gateway, self.methods, self.store, self.clock),
            encryptor=self.encryptor,
            rate_limiter=GatewayRateLimiter(
                self.slots, timedelta(milliseconds=50), lambda: NOON, sleep=lambda seconds: None
            ),
            jitter=lambda most: min(most, jitter_seconds),
            hold=hold,
            declined=self.declined.append,
        )

    def charge_ends(self) -> State:
        """The state after a charge step, or the error that it raised."""
        try:
            return self.charge()
        except PaymentError as error:
            return {"error": error}

    def charge_until_it_ends(
        self, state: State | None = None, hold: Callable[..., Outcome | None] = lambda _: None
    ) -> State:
        """Like the workflow: charge again after each wait, and catch the last error."""
        try:
            state = self.charge(state, hold=hold)
            while "wait_seconds" in state:
                self.clock.wait(timedelta(seconds=state["wait_seconds"]))
                state = self.charge(state, hold=hold)
        except PaymentError as error:
            cause = json.dumps({"errorMessage": str(error)})
            caught = {"error": {"Error": type(error).__name__, "Cause": cause}}
            return {"payment_id": "pay_1"} | (state or {}) | caught
        return state

    def record(self, state: State) -> Payment:
        return record_step(state, store=self.store, events=self.events, clock=self.clock)

    @property
    def now(self) -> Payment:
        return self.store.rows["pay_1"]

    @property
    def opened(self) -> Payment:
        return opened(self.now, self.encryptor)


def test_charge_step_when_all_is_well_then_an_outcome_and_one_slot_taken() -> None:
    scenario = StepScenario()
    state = scenario.charge()
    assert state["outcome"]["status"] == "succeeded"
    assert set(state) == {"payment_id", "outcome"}
    assert scenario.slots.taken == 1


def test_charge_step_takes_no_slot_for_a_payment_with_an_outcome() -> None:
    scenario = StepScenario()
    scenario.record(scenario.charge())
    assert scenario.charge()["outcome"]["status"] == "succeeded"
    assert scenario.slots.taken == 1
    scenario.charge({"payment_id": "pay_1", "ask": True})
    assert scenario.slots.taken == 2


@pytest.mark.fault(12)
def test_charge_step_waits_for_the_retry_after_time_plus_jitter() -> None:
    scenario = StepScenario()
    scenario.gateway.fail(Fault(FaultKind.RATE_LIMITED, retry_after_seconds=7))
    assert scenario.charge(jitter_seconds=3) == {"payment_id": "pay_1", "wait_seconds": 10}
    assert scenario.now.status is Status.PENDING


@pytest.mark.fault(12)
def test_charge_step_when_jittered_then_over_the_whole_length_of_the_wait() -> None:
    scenario = StepScenario()
    scenario.gateway.fail(Fault(FaultKind.RATE_LIMITED, retry_after_seconds=7))
    assert scenario.charge(jitter_seconds=1000)["wait_seconds"] == 14


@pytest.mark.fault(12)
def test_charge_step_without_retry_after_waits_as_long_as_it_waited() -> None:
    scenario = StepScenario()
    scenario.gateway.fail(Fault(FaultKind.RATE_LIMITED, retry_after_seconds=0, times=1000))
    waits = []
    for _ in range(13):
        waits.append(scenario.charge()["wait_seconds"])
        scenario.clock.wait(timedelta(seconds=waits[-1]))
    assert waits == sorted(waits)
    assert (waits[0], waits[-1]) == (1, 900)
    assert all(later <= 2 * earlier + 10 for earlier, later in pairwise(waits))  # the clock moves with each look at it


@pytest.mark.fault(12)
def test_charge_step_caps_the_wait_that_the_gateway_requests() -> None:
    scenario = StepScenario()
    scenario.gateway.fail(Fault(FaultKind.RATE_LIMITED, retry_after_seconds=86_400))
    assert scenario.charge()["wait_seconds"] == LONGEST_WAIT_SECONDS


@pytest.mark.fault(12)
@pytest.mark.parametrize("status", [Status.PENDING, Status.PROCESSING, Status.UNKNOWN, Status.REQUIRES_ACTION])
def test_executions_send_nothing_before_the_time_on_the_row(status: Status) -> None:
    row = payment() if status is Status.PENDING else processed(status)
    scenario = StepScenario(row)
    scenario.store.postpone("pay_1", NOON + timedelta(seconds=75))
    scenario.clock.wait(timedelta(seconds=38.5))
    assert scenario.charge({"payment_id": "pay_1", "ask": True})["wait_seconds"] in (36, 37)
    assert scenario.slots.taken == 0
    assert scenario.now.status is status
    scenario.clock.wait(timedelta(seconds=37))
    assert "wait_seconds" not in scenario.charge_ends()
    assert scenario.slots.taken == 1


@pytest.mark.fault(12)
def test_charge_step_stores_its_wait_with_jitter_on_the_row() -> None:
    scenario = StepScenario()
    scenario.gateway.fail(Fault(FaultKind.RATE_LIMITED, retry_after_seconds=75))
    assert scenario.charge(jitter_seconds=32)["wait_seconds"] == 107
    assert scenario.now.not_before == iso(scenario.clock.now + timedelta(seconds=107))


@pytest.mark.fault(12)
def test_charge_step_after_a_wait_sends_the_same_request_and_key() -> None:
    scenario = StepScenario()
    scenario.gateway.fail(Fault(FaultKind.RATE_LIMITED, times=3))
    state = scenario.charge_until_it_ends()
    assert scenario.record(state).status is Status.SUCCEEDED
    assert len(scenario.gateway.requests) == 4
    assert all(request == scenario.gateway.requests[0] for request in scenario.gateway.requests)
    assert len(scenario.gateway.captured) == 1


@pytest.mark.fault(12)
def test_charge_step_fails_a_payment_limited_for_a_day_as_never_sent() -> None:
    scenario = StepScenario()
    scenario.gateway.fail(Fault(FaultKind.RATE_LIMITED, times=1000))
    state = scenario.charge_until_it_ends(hold=Hold(MemoryBreakerStore(), scenario.clock))
    waited = scenario.clock() - NOON
    assert RecoveryTimeouts().deadline <= waited < RecoveryTimeouts().deadline + timedelta(minutes=15)
    assert scenario.record(state).status is Status.FAILED
    assert scenario.gateway.captured == []


@pytest.mark.fault(12, 19)
def test_first_429_after_a_weekend_with_a_rejected_key_waits() -> None:
    scenario = StepScenario()
    scenario.gateway.fail(Fault(FaultKind.UNAUTHORIZED))
    assert isinstance(scenario.charge_ends()["error"], Misconfigured)
    scenario.clock.wait(timedelta(days=2))
    scenario.gateway.fail(Fault(FaultKind.RATE_LIMITED))
    assert scenario.charge()["wait_seconds"]
    assert scenario.now.status is Status.PENDING


class BusyGateway(Recording):
    """Limits all requests."""

    error: RateLimited

    def charge(self, request: ChargeRequest) -> GatewayCharge:
        """Raises RateLimited."""
        raise self.error


@pytest.mark.fault(12, 86)
@pytest.mark.parametrize("reference", ["", "pi_1"])
@pytest.mark.parametrize("code", [RATE_LIMIT, LOCK_TIMEOUT, RESOURCE_RATE_LIMIT])
def test_charge_step_limited_for_a_day_waits_on_by_an_operators_pause(code: str, reference: str) -> None:
    scenario, breaker = StepScenario(), MemoryBreakerStore()
    scenario.gateway = gateway = BusyGateway(scenario.clock)
    gateway.error = RateLimited(
        code, "slow down", retry_after_seconds=600, gateway_reference=reference, outage=code == RATE_LIMIT
    )
    hold = Hold(breaker, scenario.clock)
    state = scenario.charge(hold=hold)
    breaker.pause(PausedBy.OPERATOR, "maintenance", scenario.clock())
    scenario.clock.wait(timedelta(hours=20))
    breaker.resume(scenario.clock())
    while "wait_seconds" in state:
        scenario.clock.wait(timedelta(seconds=state["wait_seconds"]))
        state = scenario.charge(state, hold=hold)
    assert state["outcome"]["code"] == "gateway_deadline"
    assert timedelta(hours=44) <= scenario.clock() - NOON < timedelta(hours=45)


@pytest.mark.fault(54)
@pytest.mark.parametrize("status", [Status.PROCESSING, Status.UNKNOWN, Status.REQUIRES_ACTION])
def test_question_limited_for_a_day_changes_no_status(status: Status) -> None:
    scenario = StepScenario(processed(status))
    scenario.gateway.fail(Fault(FaultKind.RATE_LIMITED, call="find", times=1000))
    state = scenario.charge_until_it_ends({"payment_id": "pay_1", "ask": True, "event_id": "evt_1"})
    assert state["error"]["Error"] == "RateLimited"
    scenario.events.add(gateway_event("payment_intent.succeeded", event_id="evt_1"))
    assert scenario.record(state).status is status
    assert scenario.events.of_payment("pay_1")[0].state is EventState.PARKED


@pytest.mark.fault(12)
def test_charge_step_waits_when_a_query_for_a_possible_charge_is_refused() -> None:
    scenario = StepScenario(after(payment(), Status.PROCESSING))
    scenario.gateway.fail(Fault(FaultKind.RATE_LIMITED, call="find", retry_after_seconds=5))
    assert scenario.charge() == {"payment_id": "pay_1", "wait_seconds": 5}
    assert scenario.now.status is Status.PROCESSING


@pytest.mark.fault(12)
def test_charge_step_remembers_to_ask_the_gateway_across_a_wait() -> None:
    scenario = StepScenario()
    scenario.record(scenario.charge())
    scenario.gateway.refund(scenario.opened.gateway_reference, 9999)
    scenario.gateway.fail(Fault(FaultKind.RATE_LIMITED, call="find"))
    state = scenario.charge({"payment_id": "pay_1", "ask": True})
    scenario.clock.wait(timedelta(seconds=state["wait_seconds"]))
    assert scenario.record(scenario.charge(state)).status is Status.REFUNDED


@pytest.mark.fault(13)
def test_charge_step_with_the_key_in_use_is_unknown_and_retries_that_key() -> None:
    scenario = StepScenario()
    scenario.gateway.fail(Fault(FaultKind.KEY_IN_USE))
    with pytest.raises(OutcomeUnknown):
        scenario.charge()
    assert POLICIES[OutcomeUnknown].max_attempts
    assert POLICIES[OutcomeUnknown].interval_seconds
    assert scenario.now.status is Status.PROCESSING
    assert scenario.record(scenario.charge()).status is Status.SUCCEEDED
    assert scenario.gateway.requests[0] == scenario.gateway.requests[1]
    assert len(scenario.gateway.captured) == 1


@pytest.mark.fault(86)
def test_charge_step_sends_nothing_while_the_breaker_holds_the_payment() -> None:
    scenario = StepScenario()
    why = Outcome(Status.PENDING, "gateway_unreachable", "no connection")
    state = scenario.charge(hold=lambda _: why)
    assert (state, scenario.slots.taken) == ({"payment_id": "pay_1", "outcome": why.as_json()}, 0)
    row = scenario.record(state)
    assert (row.status, row.code, row.attempts) == (Status.PENDING, "gateway_unreachable", 0)
    assert scenario.gateway.requests == []
    assert scenario.record(scenario.charge()).status is Status.SUCCEEDED


@pytest.mark.fault(86)
def test_attempts_of_a_payment_in_an_outage_never_fail_it() -> None:
    scenario = StepScenario()
    scenario.gateway.fail(Fault(FaultKind.NOT_SENT, times=1000))
    for _ in range(20):
        row = scenario.record(scenario.charge_until_it_ends())
        assert (row.status, row.code) == (Status.PENDING, "gateway_unreachable")
    assert len(scenario.gateway.requests) == 20


@pytest.mark.fault(14)
def test_charge_step_retries_a_refused_connection_and_charges_once() -> None:
    scenario = StepScenario()
    scenario.gateway.fail(Fault(FaultKind.NOT_SENT))
    with pytest.raises(PaymentError) as refused:
        scenario.charge()
    assert POLICIES[type(refused.value)].max_attempts
    assert scenario.record(scenario.charge()).status is Status.SUCCEEDED
    assert len(scenario.gateway.captured) == 1


@pytest.mark.fault(15, 16)
@pytest.mark.parametrize(
    ("method", "code"),
    [
        ("pm_card_chargeDeclinedInsufficientFunds", "insufficient_funds"),
        ("pm_card_chargeDeclinedLostCard", "lost_card"),
        ("pm_card_chargeDeclinedStolenCard", "stolen_card"),
    ],
)
def test_charge_step_with_a_declined_card_has_an_outcome_and_no_retry(method: str, code: str) -> None:
    scenario = StepScenario(payment(method=method))
    row = scenario.record(scenario.charge())
    assert (row.status, row.code) == (Status.DECLINED, code)
    scenario.charge()
    assert len(scenario.gateway.requests) == 1
    assert [row.payment_id for row in scenario.declined] == ["pay_1"]  # for the fraud rule, once


@pytest.mark.fault(19)
def test_charge_step_with_a_refused_key_leaves_the_payment_pending() -> None:
    scenario = StepScenario()
    scenario.gateway.fail(Fault(FaultKind.UNAUTHORIZED, times=2))
    with pytest.raises(Misconfigured):
        scenario.charge()
    row = scenario.record(scenario.charge_until_it_ends())
    assert (row.status, scenario.gateway.captured) == (Status.PENDING, [])


# The event that caused a query ---------------------------------------------------------------------------------------

ASKED = {"payment_id": "pay_1", "ask": True, "event_id": "evt_1"}


def charged_with_event() -> StepScenario:
    """A captured payment with a parked event of the gateway."""
    scenario = StepScenario()
    scenario.record(scenario.charge())
    scenario.events.add(gateway_event("charge.refunded"))
    return scenario


def test_record_step_when_the_gateway_answered_then_its_event_is_applied() -> None:
    scenario = charged_with_event()
    scenario.record(scenario.charge(ASKED))
    assert list(scenario.events.parked()) == []
    assert [event.state for event in scenario.events.of_payment("pay_1")] == [EventState.APPLIED]


def test_record_step_when_a_step_gave_up_then_the_event_stays_parked() -> None:
    scenario = charged_with_event()
    scenario.gateway.fail(Fault(FaultKind.SERVER_ERROR, call="find"))
    state = scenario.charge_until_it_ends(ASKED)
    assert "error" in state
    scenario.record(state)
    assert len(list(scenario.events.parked())) == 1


@pytest.mark.fault(18)
@pytest.mark.fault(56)
@pytest.mark.parametrize("status", [Status.UNKNOWN, Status.PENDING, Status.FAILED])
def test_record_step_without_an_answer_keeps_the_event_open(status: Status) -> None:
    scenario = StepScenario(after(payment(), Status.PROCESSING, Status.UNKNOWN))
    scenario.events.add(gateway_event())
    scenario.record({"payment_id": "pay_1", "event_id": "evt_1", "outcome": Outcome(status).as_json()})
    assert len(list(scenario.events.parked())) == 1


def test_record_step_with_a_conflicting_answer_keeps_the_event_parked() -> None:
    scenario = charged_with_event()
    scenario.gateway.fail(Fault(FaultKind.ALTERED, call="find", money=Money(4711, "CHF")))
    state = scenario.charge(ASKED)
    assert state["outcome"]["status"] == "in_review"
    scenario.record(state)
    assert len(list(scenario.events.parked())) == 1


def test_record_step_that_cannot_write_the_row_keeps_the_event_parked() -> None:
    scenario = charged_with_event()
    scenario.gateway.refund(scenario.opened.gateway_reference, 9999)
    state = scenario.charge(ASKED)

    def save(payment: Payment) -> None:
        raise ConnectionError("the table does not answer")

    scenario.store.save = save  # type: ignore[method-assign]
    with pytest.raises(ConnectionError):
        scenario.record(state)
    assert len(list(scenario.events.parked())) == 1


def test_charge_step_keeps_the_reference_of_an_unknown_outcome_on_the_row() -> None:
    scenario = StepScenario()
    scenario.gateway.fail(Fault(FaultKind.ALTERED, call="charge", status="teleported"))
    error = scenario.charge_ends()["error"]
    assert type(error) is OutcomeUnknown
    assert (scenario.now.status, scenario.opened.gateway_reference) == (Status.PROCESSING, "mem_1")
    assert not scenario.now.settles
    assert is_sealed(scenario.now.gateway_reference)
    assert scenario.record(scenario.charge()).status is Status.SUCCEEDED  # the search does not show it yet
    assert len(scenario.gateway.requests) == 1


@pytest.mark.parametrize("no_free_slot", [True, False])
def test_charge_step_when_it_waits_then_the_event_is_not_forgotten(no_free_slot: bool) -> None:
    scenario = charged_with_event()
    scenario.slots.free = not no_free_slot
    scenario.gateway.fail(Fault(FaultKind.RATE_LIMITED, call="find"))
    state = scenario.charge(ASKED)
    assert state["wait_seconds"]
    scenario.slots.free = True
    scenario.record(scenario.charge_until_it_ends(state))
    assert list(scenario.events.parked()) == []


# Our own rate limit --------------------------------------------------------------------------------------------------


def test_charge_step_without_a_free_slot_waits_and_sends_nothing() -> None:
    scenario = StepScenario()
    scenario.slots.free = False
    state = scenario.charge()
    assert state == {"payment_id": "pay_1", "wait_seconds": SLOT_WAIT_SECONDS, "waits": 1}
    assert (scenario.now.status, scenario.now.attempts) == (Status.PENDING, 0)
    scenario.slots.free = True
    assert scenario.record(scenario.charge_until_it_ends(state)).status is Status.SUCCEEDED


@pytest.mark.parametrize("status", [Status.PROCESSING, Status.UNKNOWN])
def test_charge_step_when_no_slot_is_free_to_ask_then_it_waits_as_well(status: Status) -> None:
    scenario = StepScenario(after(payment(), *dict.fromkeys((Status.PROCESSING, status))))
    scenario.slots.free = False
    assert scenario.charge()["wait_seconds"] == SLOT_WAIT_SECONDS


def test_charge_step_never_gives_up_a_payment_for_lack_of_free_slots() -> None:
    scenario = StepScenario()
    scenario.slots.free = False
    state, waited = scenario.charge(), []
    for _ in range(20):
        waited.append(state["wait_seconds"])
        scenario.clock.wait(timedelta(seconds=state["wait_seconds"]))
        state = scenario.charge(state)
    assert waited[:4] == [5, 10, 20, 40]
    assert waited[-1] == LONGEST_WAIT_SECONDS
    scenario.slots.free = True
    assert scenario.record(scenario.charge_until_it_ends(state)).status is Status.SUCCEEDED


# Validate ----------------------------------------------------------------------------------------------------------


def validated(scenario: StepScenario, **state: Any) -> State:
    return validate_step(
        {"payment_id": "pay_1", **state}, store=scenario.store, methods=scenario.methods, refusal=lambda money: None
    )


def test_validate_step_passes_on_the_state_when_nothing_is_wrong() -> None:
    assert validated(StepScenario(), ask=True, event_id="evt_1") == ASKED


def test_validate_step_with_nothing_to_charge_rejects_without_a_call() -> None:
    scenario = StepScenario(payment(method=""))
    row = scenario.record(validated(scenario))
    assert (row.status, scenario.gateway.requests) == (Status.REJECTED, [])


def test_validate_step_skips_the_check_of_a_payment_sent_before() -> None:
    scenario = StepScenario(after(payment(method=""), Status.PROCESSING))
    assert validated(scenario) == {"payment_id": "pay_1"}


# Audit -------------------------------------------------------------------------------------------------------------


class RowsClosed(BatchRows):
    """Records the payments whose rows were to be closed."""

    def __init__(self) -> None:
        self.closed: list[Payment] = []

    def close(self, payment: Payment) -> None:
        """Remember it."""
        self.closed.append(payment)


def test_audit_step_run_twice_adds_no_entry_and_gives_the_same_event() -> None:
    scenario, rows = StepScenario(), RowsClosed()
    log = MemoryAuditStore(scenario.store)
    heads = heads_of(log)
    scenario.record(scenario.charge())
    first, again = (
        audit_step({"payment_id": "pay_1"}, store=scenario.store, log=log, heads=heads, rows=rows) for _ in range(2)
    )
    verify(scenario.now, log.entries("pay_1"))
    assert [entry.status for entry in log.entries("pay_1")] == ["pending", "processing", "succeeded"]
    assert first == again == {"payment_id": "pay_1", "status": "succeeded", "event": payment_event(scenario.now)}
    assert [row.payment_id for row in rows.closed] == ["pay_1", "pay_1"]  # closing is safe to repeat


@pytest.mark.fault(23)
@pytest.mark.parametrize("appends", [0, 1, 2])
def test_audit_step_that_fails_midway_closes_no_row_and_can_be_retried(appends: int) -> None:
    scenario, rows = StepScenario(versions(250)), RowsClosed()
    log = MemoryAuditStore(scenario.store)
    heads = heads_of(log)
    with pytest.raises(ConnectionError):
        audit_step({"payment_id": "pay_1"}, store=scenario.store, log=Interrupted(log, appends), heads=heads, rows=rows)
    assert (scenario.now.audited_version, rows.closed) == (appends * log.most_entries, [])
    audit_step({"payment_id": "pay_1"}, store=scenario.store, log=log, heads=heads, rows=rows)
    verify(scenario.now, log.entries("pay_1"))
    assert (scenario.now.audited_version, len(rows.closed)) == (250, 1)
    assert scenario.gateway.requests == []


# Any failure -----------------------------------------------------------------------------------------------------

FAULTS = some.builds(
    Fault,
    some.sampled_from([kind for kind in FaultKind if kind is not FaultKind.ALTERED]),
    call=some.sampled_from(["", "charge", "find", "cancel"]),
    times=some.sampled_from([1, 2, 12]),
    executes=some.booleans(),
)
METHODS = some.sampled_from(["pm_card_visa", "pm_card_chargeDeclined", "pm_card_threeDSecure2Required"])
NOT_CHARGED = (Status.DECLINED, Status.REJECTED, Status.FAILED)


@dataclass(frozen=True)
class Execution:
    """The faults of one execution of the workflow, and the events after it."""

    faults: list[Fault]
    crashes: bool
    """After its first call, before it records anything."""
    customer_authenticates: bool
    minutes_later: int
    """When the next execution begins. Keys are kept for 24 hours, the search lags by a minute."""


EXECUTIONS = some.lists(
    some.builds(
        Execution,
        some.lists(FAULTS, max_size=2),
        some.booleans(),
        some.booleans(),
        some.sampled_from([0, 0, 11, 25 * 60]),
    ),
    max_size=6,
)


@pytest.mark.fault(*range(8, 21))
@settings(max_examples=300)
@given(EXECUTIONS, METHODS)
def test_steps_charge_at_most_once_and_keep_the_row_true_under_any_fault(
    executions: list[Execution], method: str
) -> None:
    scenario = StepScenario(payment(method=method))
    listing = charge_list(scenario.gateway, scenario.store, scenario.encryptor, scenario.clock)
    for execution in executions:
        for fault in execution.faults:
            scenario.gateway.fail(replace(fault))
        if execution.crashes:
            with suppress(PaymentError):
                scenario.charge()
        else:
            scenario.record(scenario.charge_until_it_ends())
        captured = len(scenario.gateway.captured)
        assert captured <= 1
        assert captured == 0 or scenario.now.status not in NOT_CHARGED
        assert captured == 1 or scenario.now.status is not Status.SUCCEEDED
        for waiting in scenario.gateway.waiting("requires_action") if execution.customer_authenticates else []:
            scenario.gateway.finish(waiting.reference, well=True)
        scenario.clock.wait(timedelta(minutes=execution.minutes_later))
    for _ in range(500):  # the remaining faults apply, and then no more
        if scenario.now.status in (*NOT_CHARGED, Status.SUCCEEDED):
            break
        scenario.clock.wait(timedelta(minutes=11))
        with suppress(PaymentError):
            read_the_list(listing, scenario.now)
        scenario.record(scenario.charge_until_it_ends())
    assert scenario.now.status in (*NOT_CHARGED, Status.SUCCEEDED)
    assert len(scenario.gateway.captured) == (scenario.now.status is Status.SUCCEEDED)


@pytest.mark.fault(43)
def test_validate_step_sends_a_held_payment_to_review_until_it_is_released() -> None:
    store = MemoryPaymentStore()
    held = replace(payment(), hold="card_testing")
    store.create(held)
    customers, tokens = MemoryCustomerStore(), MemoryTokenStore()
    methods = PaymentMethods(customers, "", tokens, FixedClock())

    def validated() -> State:
        return validate_step({"payment_id": "pay_1"}, store=store, methods=methods, refusal=lambda _: None)

    assert (validated()["outcome"]["status"], validated()["outcome"]["code"]) == (Status.IN_REVIEW, "card_testing")
    store.rows["pay_1"] = after(held, Status.IN_REVIEW, Status.PENDING)
    assert "outcome" not in validated()


# A declined charge is canceled ---------------------------------------------------------------------------------------

LOST_CARD = "pm_card_visa_chargeDeclinedLostCard"


@pytest.mark.fault(58)
def test_charge_step_of_a_declined_card_cancels_in_a_slot_of_its_own() -> None:
    scenario = StepScenario(payment(method=LOST_CARD))
    state = scenario.charge()
    assert (state["outcome"]["status"], state["outcome"]["code"]) == ("declined", "lost_card")
    assert is_sealed(state["outcome"]["gateway_reference"])
    assert scenario.slots.taken == 2
    assert [charge.reference for charge in scenario.gateway.waiting("canceled")] == ["mem_1"]


@pytest.mark.fault(58)
def test_charge_step_without_a_slot_for_the_cancel_waits_and_declines() -> None:
    scenario = StepScenario(payment(method=LOST_CARD))
    charge = scenario.gateway.charge

    def last_slot(request: ChargeRequest) -> GatewayCharge:
        scenario.slots.free = False
        return charge(request)

    scenario.gateway.charge = last_slot  # type: ignore[method-assign]
    state = scenario.charge()
    assert set(state) == {"payment_id", "wait_seconds", "waits"}
    assert scenario.opened.gateway_reference == "mem_1"
    scenario.slots.free = True
    ended = scenario.record(scenario.charge_until_it_ends(state))
    assert (ended.status, ended.code, len(scenario.gateway.requests)) == (Status.DECLINED, "lost_card", 1)


@pytest.mark.fault(58)
@pytest.mark.parametrize("kind", [FaultKind.RATE_LIMITED, FaultKind.ANSWER_LOST, FaultKind.SERVER_ERROR])
def test_charge_step_with_a_failed_cancel_keeps_the_reference(kind: FaultKind) -> None:
    """Recovery finishes it, however long the cancel fails."""
    scenario = StepScenario(payment(method=LOST_CARD))
    scenario.gateway.fail(Fault(kind, call="cancel", executes=False))
    scenario.charge_ends()
    assert (scenario.now.status, scenario.opened.gateway_reference) == (Status.PROCESSING, "mem_1")
    scenario.record({"payment_id": "pay_1", "error": {"Error": "OutcomeUnknown", "Cause": ""}})
    assert scenario.now.status is Status.UNKNOWN
    ended = scenario.record(scenario.charge_until_it_ends())
    assert (ended.status, ended.code) == (Status.DECLINED, "lost_card")
