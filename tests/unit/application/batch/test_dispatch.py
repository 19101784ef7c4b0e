"""Dispatch: one start a payment, at a limited rate, and a reason for each message that fails."""

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import pytest

from fakes.batch_breaker import MemoryBreakerStore
from fakes.batches import MemoryBatchStore
from fakes.payments import MemoryPaymentStore
from fakes.slots import MemorySlotStore
from fakes.workflow import MemoryWorkflow
from payments.application.batch.dispatch import (
    BACKPRESSURE,
    LONGEST_BACKLOG_SECONDS,
    LONGEST_PROBE_SECONDS,
    LOOK_SECONDS,
    QUIET_SECONDS,
    RESERVE_SECONDS,
    BatchesPaused,
    BatchHeld,
    Dispatcher,
    MalformedMessage,
    ShortOfTime,
)
from payments.application.batch.switches import Switches
from payments.application.batch_breaker import REFUSALS_WINDOW
from payments.application.gateway_rate_limiter import GatewayRateLimiter
from payments.domain.batch.state import Batch, BatchStatus, Source
from payments.domain.batch.switch import Switch, SwitchState
from payments.domain.batch_breaker import COOLDOWN, PausedBy
from payments.domain.clock import iso
from payments.domain.statuses import Status
from payments.ports.batch_store import Claim
from tests.unit.builders import NOON, after, batch_payment

SLOT_SECONDS = 0.0625


@dataclass
class Time:
    """A clock that only `sleep` and `work` advance."""

    seconds: float = 0.0
    slept_seconds: list[float] = field(default_factory=list)

    def monotonic(self) -> float:
        return self.seconds

    def now(self) -> datetime:
        return NOON + timedelta(seconds=self.seconds)

    def sleep(self, seconds: float) -> None:
        self.slept_seconds.append(seconds)
        self.seconds += seconds


class SlowWorkflow(MemoryWorkflow):
    """A start that takes `seconds`."""

    def __init__(self, time: Time, seconds: float) -> None:
        super().__init__()
        self._time = time
        self._seconds = seconds

    def start(self, payment_id: str) -> None:
        """Let the time pass that a start takes."""
        self._time.seconds += self._seconds
        super().start(payment_id)


class DispatchScenario:
    """Two queued payments and one dispatcher. The gateway was called just now."""

    def __init__(self, start_seconds: float = 0, interval_seconds: float = 0.5) -> None:
        self.time = Time()
        self.ends_at = 60.0 + QUIET_SECONDS
        self.workflow = SlowWorkflow(self.time, start_seconds)
        self.payments = MemoryPaymentStore()
        self.batches = MemoryBatchStore(self.payments)
        self.breaker = MemoryBreakerStore()
        self.slots = MemorySlotStore()
        for name in ("p1", "p2"):
            self.payments.create(batch_payment(name))
        rate_limiter = GatewayRateLimiter(self.slots, timedelta(seconds=SLOT_SECONDS), self.time.now, self.time.sleep)
        self.dispatcher = Dispatcher(
            self.payments,
            self.workflow,
            self.breaker,
            rate_limiter,
            interval_seconds,
            self.time.monotonic,
            self.time.sleep,
            Switches(self.batches, self.time.now),
        )
        self.charge()

    def dispatch(self, body: str = '{"payment_id": "p1", "batch_id": "b", "line": 2}') -> str:
        return self.dispatcher.dispatch(body, self.seconds_left)

    def seconds_left(self) -> float:
        return self.ends_at - self.time.seconds

    def charge(self) -> None:
        """Another function calls the gateway now."""
        now = int(self.time.now().timestamp() / SLOT_SECONDS)
        self.slots.take_slot(now - 1, now)

    def take_slots(self, seconds: float) -> None:
        """REST payments take all slots for this time."""
        first = int(self.time.now().timestamp() / SLOT_SECONDS)
        for _ in range(int(seconds / SLOT_SECONDS)):
            self.slots.take_slot(first, first + 10**6)


def test_dispatch_when_the_payment_is_pending_then_its_workflow_starts() -> None:
    scenario = DispatchScenario()
    assert scenario.dispatch() == "p1"
    assert scenario.workflow.started == ["p1"]


@pytest.mark.fault(25)
def test_dispatch_when_sqs_delivers_twice_then_one_execution() -> None:
    scenario = DispatchScenario()
    scenario.dispatch()
    scenario.dispatch()
    assert scenario.workflow.started == ["p1"]


def test_dispatch_does_not_restart_a_payment_that_has_an_outcome() -> None:
    scenario = DispatchScenario()
    scenario.payments.save(after(batch_payment("p1"), Status.REJECTED))
    assert scenario.dispatch() == "p1"
    assert scenario.workflow.started == []


@pytest.mark.parametrize(("start_seconds", "sleeps_seconds"), [(0, 0.5), (0.25, 0.25), (0.75, 0)])
def test_dispatch_when_faster_than_its_interval_then_it_sleeps_the_rest(
    start_seconds: float, sleeps_seconds: float
) -> None:
    scenario = DispatchScenario(start_seconds)
    scenario.dispatch()
    assert scenario.time.slept_seconds == [sleeps_seconds]


def test_dispatch_when_many_come_then_the_rate_stays_at_the_limit() -> None:
    scenario = DispatchScenario(start_seconds=0.125, interval_seconds=0.25)
    for _ in range(8):
        scenario.dispatch()
    assert scenario.time.seconds == 8 * 0.25


# Backpressure --------------------------------------------------------------------------------------


def test_dispatch_waits_until_a_long_slot_backlog_has_shrunk() -> None:
    scenario = DispatchScenario(interval_seconds=0)
    scenario.take_slots(seconds=2)
    scenario.dispatch()
    assert scenario.workflow.started == ["p1"]
    assert 2 - LONGEST_BACKLOG_SECONDS <= scenario.time.slept_seconds[0] <= 2


@pytest.mark.parametrize("backlog_seconds", [0.0, 0.25, 0.5])
def test_dispatch_starts_at_once_and_slows_down_by_a_short_slot_backlog(
    backlog_seconds: float,
) -> None:
    scenario = DispatchScenario(interval_seconds=0.25)
    scenario.take_slots(seconds=backlog_seconds)
    scenario.dispatch()
    [slept_seconds] = scenario.time.slept_seconds
    assert slept_seconds == pytest.approx(0.25 + backlog_seconds * BACKPRESSURE)


def test_dispatch_when_the_backlog_grows_meanwhile_then_it_looks_again() -> None:
    scenario = DispatchScenario(interval_seconds=0)
    scenario.take_slots(seconds=1)
    sleep, more = scenario.time.sleep, [1.0]

    def interrupted(seconds: float) -> None:
        sleep(seconds)
        if more:
            scenario.take_slots(more.pop())

    dispatcher = replace(scenario.dispatcher, sleep=interrupted)
    dispatcher.dispatch('{"payment_id": "p1"}', scenario.seconds_left)
    assert scenario.time.seconds >= 2 - LONGEST_BACKLOG_SECONDS


def test_dispatch_does_not_wait_for_slots_if_the_payment_has_an_outcome() -> None:
    scenario = DispatchScenario(interval_seconds=0)
    scenario.payments.save(after(batch_payment("p1"), Status.REJECTED))
    scenario.take_slots(seconds=2)
    scenario.dispatch()
    assert scenario.time.seconds == 0


# A dispatcher short of time -------------------------------------------------------------------------


@pytest.mark.fault(66)
def test_dispatch_behind_a_long_backlog_hands_back_before_its_time_is_over() -> None:
    scenario = DispatchScenario(interval_seconds=0)
    scenario.take_slots(seconds=300)
    with pytest.raises(ShortOfTime) as back:
        scenario.dispatch()
    assert scenario.seconds_left() == pytest.approx(RESERVE_SECONDS)
    assert back.value.seconds == pytest.approx(300 - scenario.time.seconds, abs=1)  # not before there is a slot
    with pytest.raises(ShortOfTime):  # the other messages of the call follow at once
        scenario.dispatch('{"payment_id": "p2"}')
    assert scenario.workflow.started == []


@pytest.mark.fault(66)
def test_dispatch_short_of_time_still_starts_a_payment_that_need_not_wait() -> None:
    scenario = DispatchScenario(interval_seconds=0)
    scenario.time.seconds = scenario.ends_at - RESERVE_SECONDS
    scenario.charge()
    scenario.dispatch()
    assert scenario.workflow.started == ["p1"]


@pytest.mark.fault(66)
def test_dispatch_while_one_refusal_follows_another_hands_back_in_time() -> None:
    scenario = DispatchScenario(interval_seconds=0)
    sleep = scenario.time.sleep

    def refused_again(seconds: float) -> None:
        sleep(seconds)
        scenario.breaker.count_refusal("p0", scenario.time.now(), REFUSALS_WINDOW)

    refused_again(0)
    with pytest.raises(ShortOfTime):
        replace(scenario.dispatcher, sleep=refused_again).dispatch('{"payment_id": "p1"}', scenario.seconds_left)
    assert scenario.seconds_left() >= RESERVE_SECONDS - LOOK_SECONDS


@pytest.mark.fault(66)
def test_dispatch_short_of_time_does_not_wait_for_its_probe() -> None:
    scenario = quiet_world()
    scenario.ends_at = scenario.time.seconds + RESERVE_SECONDS + 3
    scenario.dispatch()
    assert scenario.workflow.started == ["p1"]
    assert scenario.seconds_left() == pytest.approx(RESERVE_SECONDS, abs=LOOK_SECONDS)


# The batch breaker ---------------------------------------------------------------------------------


@pytest.mark.fault(19)
@pytest.mark.parametrize("by", PausedBy)
def test_dispatch_while_paused_fails_with_the_reason_and_since_when(by: PausedBy) -> None:
    scenario = DispatchScenario()
    scenario.breaker.pause(by, "the key is refused", NOON)
    with pytest.raises(BatchesPaused, match=r"since 2026-11-21T12:00:00.000Z: the key is refused"):
        scenario.dispatch()
    assert scenario.workflow.started == []
    scenario.breaker.resume(NOON)
    scenario.dispatch()
    assert scenario.workflow.started == ["p1"]


@pytest.mark.fault(19)
def test_dispatch_stops_when_batches_are_paused_between_two_messages() -> None:
    scenario = DispatchScenario()
    scenario.dispatch()
    scenario.breaker.pause(PausedBy.GATEWAY, "the key is refused", NOON)
    with pytest.raises(BatchesPaused):
        scenario.dispatch('{"payment_id": "p2"}')
    assert scenario.workflow.started == ["p1"]


@pytest.mark.fault(19)
def test_dispatch_waits_after_a_refusal_and_notices_a_following_pause() -> None:
    scenario = DispatchScenario(interval_seconds=0)
    scenario.breaker.count_refusal("p0", scenario.time.now(), REFUSALS_WINDOW)
    sleep = scenario.time.sleep

    def more_refusals(seconds: float) -> None:
        sleep(seconds)
        if scenario.time.seconds > 1:
            scenario.breaker.pause(PausedBy.GATEWAY, "the key is refused", NOON)

    with pytest.raises(BatchesPaused):
        replace(scenario.dispatcher, sleep=more_refusals).dispatch('{"payment_id": "p1"}', scenario.seconds_left)
    assert scenario.workflow.started == []
    assert scenario.time.seconds < 1.5


def test_dispatch_when_no_other_refusal_follows_then_it_goes_on() -> None:
    scenario = DispatchScenario(interval_seconds=0)
    scenario.breaker.count_refusal("p0", scenario.time.now(), REFUSALS_WINDOW)
    scenario.dispatch()
    assert scenario.workflow.started == ["p1"]
    assert scenario.time.seconds == pytest.approx(COOLDOWN.total_seconds(), abs=2 * LOOK_SECONDS)
    since = scenario.time.seconds
    scenario.dispatch('{"payment_id": "p2"}')
    assert scenario.time.seconds == since


# After a quiet time ------------------------------------------------------------------------------


def quiet_world() -> DispatchScenario:
    """The gateway was not called for a while."""
    scenario = DispatchScenario(interval_seconds=0)
    scenario.time.seconds += QUIET_SECONDS + 1
    return scenario


@pytest.mark.fault(19)
@pytest.mark.parametrize("charged_after_seconds", [0.0, 0.3, 4.0])
def test_dispatch_after_idle_time_starts_one_payment_until_a_gateway_call(
    charged_after_seconds: float,
) -> None:
    scenario = quiet_world()
    sleep, quiet_since, underway = scenario.time.sleep, scenario.time.seconds, ["p1"]

    def cold_start(seconds: float) -> None:
        sleep(seconds)
        if underway and scenario.time.seconds - quiet_since >= charged_after_seconds:
            underway.pop()
            scenario.charge()

    dispatcher = replace(scenario.dispatcher, sleep=cold_start)
    dispatcher.dispatch('{"payment_id": "p1"}', scenario.seconds_left)
    assert charged_after_seconds <= scenario.time.seconds - quiet_since <= charged_after_seconds + 2 * LOOK_SECONDS
    first_took = scenario.time.seconds
    dispatcher.dispatch('{"payment_id": "p2"}', scenario.seconds_left)
    assert scenario.workflow.started == ["p1", "p2"]
    assert scenario.time.seconds == first_took


def test_dispatch_waits_once_for_a_first_payment_that_never_gets_through() -> None:
    scenario = quiet_world()
    quiet_since = scenario.time.seconds
    scenario.dispatch()
    assert scenario.time.seconds - quiet_since == pytest.approx(LONGEST_PROBE_SECONDS, abs=LOOK_SECONDS)
    first_took = scenario.time.seconds
    scenario.dispatch('{"payment_id": "p2"}')
    assert scenario.workflow.started == ["p1", "p2"]
    assert scenario.time.seconds == first_took


def test_dispatch_after_idle_time_does_not_wait_when_others_charge() -> None:
    scenario = quiet_world()
    scenario.charge()
    quiet_since = scenario.time.seconds
    scenario.dispatch()
    assert scenario.time.seconds == quiet_since


def test_dispatch_after_idle_time_does_not_wait_with_nothing_to_start() -> None:
    scenario = quiet_world()
    scenario.payments.save(after(batch_payment("p1"), Status.REJECTED))
    quiet_since = scenario.time.seconds
    scenario.dispatch()
    assert scenario.time.seconds == quiet_since


# Poison ------------------------------------------------------------------------------------------


@pytest.mark.fault(27)
@pytest.mark.parametrize(
    "body", ["", "no json", "[]", "7", "null", "{}", '{"payment_id": 7}', '{"payment_id": "a b"}', "[" * 100_000]
)
def test_dispatch_fails_on_a_malformed_message_without_repeating_it(body: str) -> None:
    scenario = DispatchScenario()
    with pytest.raises(MalformedMessage) as refused:
        scenario.dispatch(body)
    assert "a b" not in str(refused.value)
    assert scenario.workflow.started == []


def test_dispatch_when_the_payment_is_not_stored_then_it_fails_naming_it() -> None:
    scenario = DispatchScenario()
    with pytest.raises(LookupError, match="p404"):
        scenario.dispatch('{"payment_id": "p404"}')
    assert scenario.workflow.started == []


# One batch is paused or canceled ----------------------------------------------------------------------


@pytest.mark.parametrize("state", [SwitchState.PAUSED, SwitchState.CANCELED])
def test_dispatch_of_a_held_batch_starts_nothing_and_others_go_on(state: SwitchState) -> None:
    scenario = DispatchScenario(interval_seconds=0)
    scenario.payments.rows["p2"] = batch_payment("p2", batch_id="b2")
    hold(scenario, "b1", state)
    with pytest.raises(BatchHeld, match=f"b1 has been {state}"):
        scenario.dispatch()
    scenario.dispatch('{"payment_id": "p2", "batch_id": "b1", "line": 2}')  # its row names another batch
    assert scenario.workflow.started == ["p2"]


def test_dispatch_of_a_held_batch_takes_no_time() -> None:
    scenario = DispatchScenario()
    hold(scenario, "b1", SwitchState.PAUSED)
    began_at = scenario.time.seconds
    with pytest.raises(BatchHeld):
        scenario.dispatch()
    assert scenario.time.seconds == began_at


def hold(scenario: DispatchScenario, batch_id: str, state: SwitchState) -> None:
    """Store a batch and set its switch."""
    source = Source("bucket", "incoming/a.csv", "v1", "etag", 1)
    new = Batch(batch_id, source, BatchStatus.SPLITTING, iso(NOON), iso(NOON))
    batch = scenario.batches.claim_split(new, Claim("a", NOON, NOON + timedelta(minutes=1)))
    scenario.batches.set_switch(batch, Switch(state, "admin:jo", iso(NOON)))
