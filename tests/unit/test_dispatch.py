"""Dispatch: one start a payment, paced; what cannot be dispatched says why (FAULTS 19, 25 and 27)."""

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import pytest

from payments.batch.dispatch import GIVES_WAY, LONGEST_BACKLOG_SECONDS, Dispatcher, LanePaused, MalformedMessage
from payments.lane import PausedBy
from payments.pace import Pace
from payments.statuses import Status
from payments.stores.controls_memory import MemoryLaneStore, MemorySlotStore
from payments.stores.memory import MemoryPaymentStore
from payments.workflow import MemoryWorkflow
from tests.unit.builders import NOON, after, batch_payment

SLOT_SECONDS = 0.0625


@dataclass
class Time:
    """A clock that only `sleep` and `work` move."""

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
        """See the port."""
        self._time.seconds += self._seconds
        super().start(payment_id)


class World:
    """Two queued payments and one dispatcher."""

    def __init__(self, start_seconds: float = 0, pace_seconds: float = 0.5) -> None:
        self.time = Time()
        self.workflow = SlowWorkflow(self.time, start_seconds)
        self.payments = MemoryPaymentStore()
        self.lane = MemoryLaneStore()
        self.slots = MemorySlotStore()
        for name in ("p1", "p2"):
            self.payments.create(batch_payment(name))
        pace = Pace(self.slots, timedelta(seconds=SLOT_SECONDS), self.time.now, self.time.sleep)
        self.dispatcher = Dispatcher(
            self.payments, self.workflow, self.lane, pace, pace_seconds, self.time.monotonic, self.time.sleep
        )

    def dispatch(self, body: str = '{"payment_id": "p1", "batch_id": "b", "line": 2}') -> str:
        return self.dispatcher.dispatch(body)

    def take_slots(self, seconds: float) -> None:
        """Let payments over REST take all slots for so long."""
        first = int(self.time.now().timestamp() / SLOT_SECONDS)
        for _ in range(int(seconds / SLOT_SECONDS)):
            self.slots.take_slot(first, first + 10**6)


def test_dispatch_when_the_payment_is_pending_then_its_workflow_starts() -> None:
    world = World()
    assert world.dispatch() == "p1"
    assert world.workflow.started == ["p1"]


def test_fault_25_dispatch_when_sqs_delivers_twice_then_one_execution() -> None:
    world = World()
    world.dispatch()
    world.dispatch()
    assert world.workflow.started == ["p1"]


def test_dispatch_when_the_payment_has_an_outcome_then_it_is_not_started_again() -> None:
    world = World()
    world.payments.save(after(batch_payment("p1"), Status.REJECTED))
    assert world.dispatch() == "p1"
    assert world.workflow.started == []


@pytest.mark.parametrize(("start_seconds", "sleeps_seconds"), [(0, 0.5), (0.25, 0.25), (0.75, 0)])
def test_dispatch_when_it_is_faster_than_the_pace_then_it_sleeps_the_rest(
    start_seconds: float, sleeps_seconds: float
) -> None:
    world = World(start_seconds)
    world.dispatch()
    assert world.time.slept_seconds == [sleeps_seconds]


def test_dispatch_when_many_come_then_the_rate_stays_at_the_pace() -> None:
    world = World(start_seconds=0.125, pace_seconds=0.25)
    for _ in range(8):
        world.dispatch()
    assert world.time.seconds == 8 * 0.25


# Giving way --------------------------------------------------------------------------------------------------------


def test_dispatch_when_slots_are_taken_far_ahead_then_it_starts_nothing_until_they_are_not() -> None:
    world = World(pace_seconds=0)
    world.take_slots(seconds=2)
    world.dispatch()
    assert world.workflow.started == ["p1"]
    assert 2 - LONGEST_BACKLOG_SECONDS <= world.time.slept_seconds[0] <= 2


@pytest.mark.parametrize("backlog_seconds", [0.0, 0.25, 0.5])
def test_dispatch_when_slots_are_taken_a_little_ahead_then_it_starts_at_once_and_slows_down_by_as_much(
    backlog_seconds: float,
) -> None:
    world = World(pace_seconds=0.25)
    world.take_slots(seconds=backlog_seconds)
    world.dispatch()
    [slept_seconds] = world.time.slept_seconds
    assert slept_seconds == pytest.approx(0.25 + backlog_seconds * GIVES_WAY)


def test_dispatch_when_the_backlog_grows_meanwhile_then_it_looks_again() -> None:
    world = World(pace_seconds=0)
    world.take_slots(seconds=1)
    sleep, more = world.time.sleep, [1.0]

    def interrupted(seconds: float) -> None:
        sleep(seconds)
        if more:
            world.take_slots(more.pop())

    dispatcher = replace(world.dispatcher, sleep=interrupted)
    dispatcher.dispatch('{"payment_id": "p1"}')
    assert world.time.seconds >= 2 - LONGEST_BACKLOG_SECONDS


def test_dispatch_when_the_payment_has_an_outcome_then_it_gives_way_to_nobody() -> None:
    world = World(pace_seconds=0)
    world.payments.save(after(batch_payment("p1"), Status.REJECTED))
    world.take_slots(seconds=2)
    world.dispatch()
    assert world.time.seconds == 0


# The lane ----------------------------------------------------------------------------------------------------------


def test_check_lane_when_open_then_nothing_happens() -> None:
    World().dispatcher.check_lane()


@pytest.mark.parametrize("by", PausedBy)
def test_fault_19_check_lane_when_paused_then_lane_paused_says_why_and_since_when(by: PausedBy) -> None:
    world = World()
    world.lane.pause(by, "the key is refused", NOON)
    with pytest.raises(LanePaused, match=r"since 2026-11-21T12:00:00.000Z: the key is refused"):
        world.dispatcher.check_lane()
    world.lane.resume()
    world.dispatcher.check_lane()


# Poison ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body", ["", "no json", "[]", "7", "null", "{}", '{"payment_id": 7}', '{"payment_id": "a b"}', "[" * 100_000]
)
def test_fault_27_dispatch_when_the_message_is_malformed_then_it_fails_without_repeating_it(body: str) -> None:
    world = World()
    with pytest.raises(MalformedMessage) as refused:
        world.dispatch(body)
    assert "a b" not in str(refused.value)
    assert world.workflow.started == []


def test_dispatch_when_the_payment_is_not_stored_then_it_fails_naming_it() -> None:
    world = World()
    with pytest.raises(LookupError, match="p404"):
        world.dispatch('{"payment_id": "p404"}')
    assert world.workflow.started == []
