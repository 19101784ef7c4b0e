"""The gateway rate limiter: slots of an exact length; each caller sleeps until its own."""

from datetime import datetime, timedelta
from math import ceil

import pytest
from hypothesis import given
from hypothesis import strategies as some

from fakes.slots import MemorySlotStore
from payments.application.gateway_rate_limiter import (
    LATE_SECONDS_AT_MOST,
    LONGEST_LEAD_SECONDS,
    LONGEST_SLEEP_SECONDS,
    GatewayRateLimiter,
)
from payments.domain.gateway_slots import slot_length
from payments.ports.slot_counter import NoFreeSlot
from tests.unit.builders import NOON

SLOT = timedelta(milliseconds=50)


class SleepingClock:
    """A clock that only sleeping advances."""

    def __init__(self) -> None:
        self.now = NOON
        self.slept_seconds: list[float] = []

    def __call__(self) -> datetime:
        return self.now

    def sleep(self, seconds: float) -> None:
        """Sleep, and remember for how long."""
        self.slept_seconds.append(seconds)
        self.now += timedelta(seconds=seconds)


def rate_limiter(slots: MemorySlotStore | None = None) -> tuple[GatewayRateLimiter, SleepingClock]:
    clock = SleepingClock()
    return GatewayRateLimiter(slots or MemorySlotStore(), SLOT, clock, clock.sleep), clock


@pytest.mark.parametrize(
    ("rate", "reserve", "microseconds"),
    [(25, 20, 50_000), (100, 20, 12_500), (100, 0, 10_000), (1, 0, 1_000_000), (3, 0, 333_334), (7, 30, 204_082)],
)
def test_slot_length_of_an_uneven_rate_rounds_up_to_a_microsecond(rate: int, reserve: int, microseconds: int) -> None:
    assert slot_length(rate, reserve) == timedelta(microseconds=microseconds)


@given(some.integers(1, 10_000), some.integers(0, 99))
def test_slot_length_stays_within_any_rate_and_is_as_short_as_possible(rate: int, reserve: int) -> None:
    slot = slot_length(rate, reserve)
    million_times_100 = 100 * timedelta(seconds=1) / timedelta(microseconds=1)
    allowed = rate * (100 - reserve)
    assert slot // timedelta(microseconds=1) * allowed >= million_times_100
    assert (slot // timedelta(microseconds=1) - 1) * allowed < million_times_100


@given(some.integers(1, 10_000), some.integers(8, 90))
def test_any_second_has_room_for_requests_that_are_late_for_their_slots(rate: int, reserve: int) -> None:
    most = ceil(timedelta(seconds=1 + LATE_SECONDS_AT_MOST) / slot_length(rate, reserve))
    assert most <= rate


def test_take_when_idle_then_it_sleeps_until_its_slot_begins() -> None:
    turn, clock = rate_limiter()
    clock.now += timedelta(milliseconds=20)  # noon is the beginning of a slot
    turn.take()()
    assert clock.slept_seconds == [pytest.approx(0.030, abs=1e-4)]


def test_take_when_many_take_then_each_sends_a_slot_after_the_one_before() -> None:
    slots = MemorySlotStore()
    waits = []
    for _ in range(10):  # ten functions at the same moment
        turn, clock = rate_limiter(slots)
        turn.take()()
        waits.append(clock.slept_seconds[0])
    assert waits == [pytest.approx(0.05 * n, abs=1e-4) for n in range(1, 11)]


def test_take_when_one_function_goes_on_taking_then_it_keeps_to_the_rate() -> None:
    turn, clock = rate_limiter()
    for _ in range(100):
        turn.take()()
    assert (clock.now - NOON).total_seconds() == pytest.approx(100 * 0.05, abs=1e-3)


def test_take_delayed_past_its_slot_waits_for_another_slot() -> None:
    slots = MemorySlotStore()
    turn, clock = rate_limiter(slots)
    held_up, (later, _) = turn.take(), rate_limiter(slots)
    later.take()
    clock.now += timedelta(milliseconds=500)
    held_up()
    assert clock.now - NOON == timedelta(milliseconds=550)
    assert slots.next_slot() == int(NOON.timestamp() / 0.05) + 12  # ten passed unused, the eleventh is ours


def test_take_asks_for_a_later_slot_after_a_slow_preparation() -> None:
    turn, clock = rate_limiter()
    for _ in range(2):
        asked_at, wait = clock.now, turn.take()
        clock.now += timedelta(milliseconds=180)
        wait()
    # the first time it was too late for its slot; the second time it was ready in time
    assert len(clock.slept_seconds) == 3
    assert clock.now - asked_at == timedelta(milliseconds=200)


def test_take_gradually_forgets_the_lead_when_preparation_is_fast_again() -> None:
    turn, clock = rate_limiter()
    wait = turn.take()
    clock.now += timedelta(milliseconds=180)
    wait()
    waits = []
    for _ in range(20):
        clock.now += timedelta(seconds=1)
        asked_at = clock.now
        turn.take()()
        waits.append(clock.now - asked_at)
    assert waits == sorted(waits, reverse=True)
    assert waits[0] >= timedelta(milliseconds=150)
    assert waits[-1] <= timedelta(milliseconds=100)


@pytest.mark.parametrize("held_up_seconds", [1.0, 60.0])
def test_take_when_it_was_held_up_for_very_long_then_the_lead_stays_short(held_up_seconds: float) -> None:
    turn, clock = rate_limiter()
    wait = turn.take()
    clock.now += timedelta(seconds=held_up_seconds)
    wait()
    asked_at = clock.now
    turn.take()()
    assert clock.now - asked_at <= timedelta(seconds=LONGEST_LEAD_SECONDS) + SLOT


def test_take_when_waiting_again_does_not_count_a_request_as_preparation() -> None:
    turn, clock = rate_limiter()
    wait = turn.take()
    wait()
    clock.now += timedelta(seconds=20)  # the gateway's answer
    wait()
    asked_at = clock.now
    turn.take()()
    assert clock.now - asked_at <= SLOT


def test_take_gives_each_request_of_a_caller_its_own_slot() -> None:
    """The gateway may answer the first request within its slot."""
    turn, clock = rate_limiter()
    wait = turn.take()
    for number in (1, 2, 3):
        wait()
        assert clock.now - NOON == pytest.approx(number * SLOT, abs=timedelta(milliseconds=1))


def test_take_refuses_without_sleeping_when_the_next_slot_is_too_far_off() -> None:
    slots = MemorySlotStore()
    longest = 0.0
    for _ in range(int(LONGEST_SLEEP_SECONDS / 0.05)):
        turn, clock = rate_limiter(slots)
        turn.take()()
        longest = max(longest, *clock.slept_seconds)
    assert longest == pytest.approx(LONGEST_SLEEP_SECONDS, abs=1e-3)
    turn, clock = rate_limiter(slots)
    with pytest.raises(NoFreeSlot):
        turn.take()()
    assert clock.slept_seconds == []


def test_backlog_seconds_is_how_long_the_next_call_waits() -> None:
    slots = MemorySlotStore()
    assert rate_limiter(slots)[0].backlog_seconds() == 0
    for _ in range(10):
        rate_limiter(slots)[0].take()
    turn, clock = rate_limiter(slots)
    assert turn.backlog_seconds() == pytest.approx(11 * 0.05, abs=1e-3)
    clock.now += timedelta(seconds=10)
    assert turn.backlog_seconds() == 0


def test_idle_seconds_when_the_last_slot_is_over_then_how_long_since() -> None:
    slots = MemorySlotStore()
    turn, clock = rate_limiter(slots)
    turn.take()
    assert turn.idle_seconds() == 0
    clock.now += timedelta(seconds=10)
    assert turn.idle_seconds() == pytest.approx(10 - 2 * 0.05, abs=1e-3)  # the slot was the next one
