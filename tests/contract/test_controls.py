"""One suite for the controls table on DynamoDB (moto) and for its in-memory fakes: the batch breaker, the counter."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from fakes.batch_breaker import MemoryBreakerStore
from fakes.slots import MemorySlotStore
from payments.adapters.dynamodb.batch_breaker import DynamoBreakerStore
from payments.adapters.dynamodb.slots import DynamoSlotStore
from payments.adapters.dynamodb.tables import CONTROLS
from payments.domain.batch_breaker import MOST_PAUSES, MOST_REFUSED_PAYMENTS, BreakerState, Pause, PausedBy
from payments.domain.clock import iso
from payments.ports.batch_breaker_store import BreakerStore
from payments.ports.slot_counter import NoFreeSlot, SlotStore
from tests.moto_tables import aws_in_memory, create_table
from tests.unit.builders import NOON

WINDOW = timedelta(minutes=5)
SLOT = timedelta(milliseconds=50)


@dataclass(frozen=True)
class Controls:
    """Two of each on one table, as in two functions."""

    breaker: BreakerStore
    other_breaker: BreakerStore
    slots: SlotStore
    other_slots: SlotStore


@pytest.fixture(params=["memory", "dynamodb"])
def controls(request: pytest.FixtureRequest) -> Iterator[Controls]:
    if request.param == "memory":
        breaker, slots = MemoryBreakerStore(), MemorySlotStore()
        yield Controls(breaker, breaker, slots, slots)
        return
    with aws_in_memory():
        client = create_table(CONTROLS)
        yield Controls(
            DynamoBreakerStore(client, CONTROLS.name),
            DynamoBreakerStore(client, CONTROLS.name),
            DynamoSlotStore(client, CONTROLS.name, SLOT),
            DynamoSlotStore(client, CONTROLS.name, SLOT),
        )


# The batch breaker ---------------------------------------------------------------------------------------------------


def test_untouched_breaker_is_not_paused(controls: Controls) -> None:
    assert controls.breaker.state() == BreakerState()
    assert not controls.breaker.state().paused


@pytest.mark.fault(53)
def test_count_refusal_counts_each_payment_of_the_window_once(controls: Controls) -> None:
    counts = [
        controls.breaker.count_refusal("pay_1", NOON, WINDOW),
        controls.other_breaker.count_refusal("pay_2", NOON + timedelta(minutes=2), WINDOW),
        controls.breaker.count_refusal("pay_1", NOON + timedelta(minutes=3), WINDOW),
        controls.breaker.count_refusal("pay_3", NOON + WINDOW - timedelta(milliseconds=1), WINDOW),
    ]
    assert counts == [1, 2, 2, 3]


def test_count_refusal_when_the_window_is_over_then_from_one_again(controls: Controls) -> None:
    controls.breaker.count_refusal("pay_1", NOON, WINDOW)
    controls.breaker.count_refusal("pay_2", NOON + timedelta(minutes=4), WINDOW)
    assert controls.breaker.count_refusal("pay_3", NOON + WINDOW, WINDOW) == 1
    assert controls.breaker.count_refusal("pay_1", NOON + WINDOW + timedelta(minutes=4), WINDOW) == 2


def test_count_refusal_of_too_many_payments_begins_another_window(controls: Controls) -> None:
    counts = [
        controls.breaker.count_refusal(f"pay_{number}", NOON, WINDOW) for number in range(MOST_REFUSED_PAYMENTS + 2)
    ]
    assert counts == [*range(1, MOST_REFUSED_PAYMENTS + 1), 1, 2]


def test_count_refusal_continues_the_window_of_an_older_version() -> None:
    """It has no payments, and the older version must still be able to count on."""
    with aws_in_memory():
        client = create_table(CONTROLS)
        key: Any = {"control": {"S": "lane"}}
        older = {"refusals": {"N": "2"}, "window_ends": {"S": iso(NOON + WINDOW)}}
        client.put_item(TableName=CONTROLS.name, Item=key | older)
        assert DynamoBreakerStore(client, CONTROLS.name).count_refusal("pay_1", NOON, WINDOW) == 1
        assert client.get_item(TableName=CONTROLS.name, Key=key)["Item"]["refusals"] == {"N": "3"}


def test_count_refusal_keeps_the_time_of_the_last_one_also_while_paused(controls: Controls) -> None:
    for minutes in (0, 2, 7):  # the first of a window, another one, and the first of the next
        at = NOON + timedelta(minutes=minutes)
        controls.breaker.count_refusal("pay_1", at, WINDOW)
        assert controls.other_breaker.state() == BreakerState(refused_at=iso(at))
    controls.other_breaker.pause(PausedBy.GATEWAY, "the key is refused", NOON)
    assert controls.breaker.state().refused_at == iso(at)


def test_count_refusal_does_not_pause_the_breaker(controls: Controls) -> None:
    controls.breaker.count_refusal("pay_1", NOON, WINDOW)
    assert not controls.breaker.state().paused


def test_pause_when_open_then_it_says_by_whom_why_and_since_when(controls: Controls) -> None:
    assert controls.breaker.pause(PausedBy.GATEWAY, "the key is refused", NOON)
    assert controls.other_breaker.state() == BreakerState("gateway", "the key is refused", iso(NOON))
    assert controls.other_breaker.state().paused


@pytest.mark.parametrize(
    ("first", "again"),
    [
        (PausedBy.OPERATOR, PausedBy.OPERATOR),
        (PausedBy.GATEWAY, PausedBy.OUTAGE),
        (PausedBy.OUTAGE, PausedBy.GATEWAY),
    ],
)
def test_pause_for_the_same_cause_then_false_and_the_first_reason_stays(
    controls: Controls, first: PausedBy, again: PausedBy
) -> None:
    controls.breaker.pause(first, "first", NOON)
    assert not controls.other_breaker.pause(again, "again", NOON + WINDOW)
    assert controls.breaker.state() == BreakerState(first, "first", iso(NOON))


BOTH = BreakerState("outage", "no connection", iso(NOON), operator_since=iso(NOON), operator_reason="month-end")


def pause_both(controls: Controls, first: PausedBy) -> None:
    """The gateway's pause and an operator's at the same time, `first` first."""
    reasons = {PausedBy.OPERATOR: "month-end", PausedBy.OUTAGE: "no connection"}
    for by in sorted(reasons, key=lambda by: by is not first):
        assert controls.breaker.pause(by, reasons[by], NOON)
        assert not controls.breaker.pause(by, "again", NOON + WINDOW)


@pytest.mark.fault(86)
@pytest.mark.parametrize("first", [PausedBy.OPERATOR, PausedBy.OUTAGE])
def test_two_causes_of_a_pause_hold_together_and_end_alone(controls: Controls, first: PausedBy) -> None:
    pause_both(controls, first)
    controls.breaker.send_probe("pay_1")
    assert controls.other_breaker.state() == replace(BOTH, probe="pay_1")
    assert controls.breaker.resume_gateway(NOON + WINDOW)
    assert controls.other_breaker.state() == BreakerState("operator", "month-end", iso(NOON))
    assert not controls.breaker.resume_gateway(NOON + WINDOW)
    assert controls.breaker.resume(NOON + WINDOW)
    assert controls.breaker.state() == BreakerState(pauses=(Pause(iso(NOON), iso(NOON + WINDOW)),))


@pytest.mark.fault(86)
@pytest.mark.parametrize("first", [PausedBy.OPERATOR, PausedBy.OUTAGE])
def test_operators_resume_leaves_the_pause_of_an_outage(controls: Controls, first: PausedBy) -> None:
    pause_both(controls, first)
    assert controls.breaker.resume(NOON + WINDOW)
    pauses = (Pause(iso(NOON), iso(NOON + WINDOW)),)
    assert controls.other_breaker.state() == BreakerState("outage", "no connection", iso(NOON), pauses=pauses)
    assert controls.breaker.resume_gateway(NOON + WINDOW)
    assert controls.breaker.state() == BreakerState(pauses=pauses)


def test_resume_when_paused_then_open_and_the_refusals_are_forgotten(controls: Controls) -> None:
    for number in range(3):
        controls.breaker.count_refusal(f"pay_{number}", NOON, WINDOW)
    controls.breaker.pause(PausedBy.GATEWAY, "the key is refused", NOON)
    controls.breaker.send_probe("pay_1")
    assert controls.breaker.resume(NOON)
    assert controls.breaker.state() == BreakerState()
    assert controls.breaker.count_refusal("pay_4", NOON, WINDOW) == 1
    assert controls.breaker.pause(PausedBy.GATEWAY, "again", NOON)


def test_resume_when_open_then_false_and_the_refusals_count_on(controls: Controls) -> None:
    controls.breaker.count_refusal("pay_1", NOON, WINDOW)
    assert not controls.breaker.resume(NOON)
    assert controls.breaker.count_refusal("pay_2", NOON, WINDOW) == 2


def test_send_probe_when_paused_then_remembered_until_the_next_pause(controls: Controls) -> None:
    controls.breaker.pause(PausedBy.GATEWAY, "the key is refused", NOON)
    controls.breaker.send_probe("pay_1")
    controls.breaker.send_probe("pay_2")
    assert controls.other_breaker.state().probe == "pay_2"
    controls.breaker.resume(NOON)
    controls.breaker.pause(PausedBy.GATEWAY, "again", NOON)
    assert controls.breaker.state().probe == ""


def test_send_probe_changes_nothing_when_the_breaker_is_not_paused(controls: Controls) -> None:
    controls.breaker.send_probe("pay_1")
    assert controls.breaker.state() == BreakerState()


def test_resume_keeps_the_pauses_of_operators_only(controls: Controls) -> None:
    hour = timedelta(hours=1)
    for number, by in enumerate((PausedBy.OPERATOR, PausedBy.OUTAGE, PausedBy.GATEWAY, PausedBy.OPERATOR)):
        begins = NOON + number * hour
        controls.breaker.pause(by, "a reason", begins)
        assert controls.other_breaker.resume(begins + hour / 2)
    pauses = tuple(Pause(iso(NOON + begins * hour), iso(NOON + begins * hour + hour / 2)) for begins in (0, 3))
    assert controls.breaker.state() == BreakerState(pauses=pauses)
    controls.breaker.pause(PausedBy.OUTAGE, "a reason", NOON)
    assert controls.breaker.state().pauses == pauses


def test_resume_forgets_the_oldest_of_too_many_pauses(controls: Controls) -> None:
    for number in range(MOST_PAUSES + 1):
        controls.breaker.pause(PausedBy.OPERATOR, "a reason", NOON + timedelta(minutes=number))
        controls.breaker.resume(NOON + timedelta(minutes=number))
    pauses = controls.breaker.state().pauses
    assert (len(pauses), pauses[0].since) == (MOST_PAUSES, iso(NOON + timedelta(minutes=1)))


# The slots ---------------------------------------------------------------------------------------------------------


def test_next_slot_when_none_was_taken_then_zero(controls: Controls) -> None:
    assert controls.slots.next_slot() == 0


def test_take_slot_when_idle_then_the_first_of_the_range(controls: Controls) -> None:
    assert controls.slots.take_slot(100, 160) == 100
    assert controls.slots.take_slot(500, 560) == 500
    assert controls.slots.next_slot() == 501


def test_take_slot_gives_consecutive_slots_across_instances(controls: Controls) -> None:
    counters = [controls.slots, controls.other_slots]
    assert [counters[n % 2].take_slot(100, 160) for n in range(6)] == [100, 101, 102, 103, 104, 105]
    assert controls.slots.next_slot() == 106


@pytest.mark.fault(65)
def test_take_slot_for_several_requests_gives_slots_in_a_row(controls: Controls) -> None:
    """For the caller that finds the counter idle, and for the ones that find it busy."""
    assert controls.slots.take_slot(100, 900, 2) == 100
    assert controls.other_slots.take_slot(100, 900, 3) == 102
    assert controls.slots.take_slot(100, 900, 2) == 105
    assert controls.slots.next_slot() == 107


def test_take_slot_fails_when_all_are_taken_and_loses_no_slot(controls: Controls) -> None:
    assert [controls.slots.take_slot(100, 102) for _ in range(3)] == [100, 101, 102]
    for counter in (controls.slots, controls.other_slots):
        with pytest.raises(NoFreeSlot):
            counter.take_slot(100, 102)
    assert controls.other_slots.take_slot(101, 103) == 103


Range = tuple[int, int, int]
RANGES = some.lists(
    some.tuples(some.integers(1, 30), some.integers(0, 4), some.integers(0, 1)).map(
        lambda drawn: (drawn[0], drawn[0] + drawn[1], drawn[2])
    ),
    max_size=25,
)


def taken(counters: list[SlotStore], ranges: list[Range]) -> list[int | None]:
    """The slots that the calls get, None for NoFreeSlot. The third number selects the counter."""
    slots: list[int | None] = []
    for first, last, who in ranges:
        try:
            slots.append(counters[who].take_slot(first, last))
        except NoFreeSlot:
            slots.append(None)
    return slots


def test_take_slot_is_unique_and_in_range_and_the_same_in_memory() -> None:
    with aws_in_memory():
        client = create_table(CONTROLS)

        @settings(max_examples=15)
        @given(RANGES)
        def holds(ranges: list[Range]) -> None:
            client.delete_table(TableName=CONTROLS.name)
            create_table(CONTROLS)
            fake = MemorySlotStore()
            slots = taken([DynamoSlotStore(client, CONTROLS.name, SLOT) for _ in range(2)], ranges)
            given_out = [slot for slot in slots if slot is not None]
            assert len(given_out) == len(set(given_out))
            assert all(
                slot is None or first <= slot <= last for slot, (first, last, _) in zip(slots, ranges, strict=True)
            )
            assert slots == taken([fake, fake], ranges)

        holds()


def test_slots_when_their_length_changes_then_they_are_counted_anew() -> None:
    """A slot's number is the time divided by its length: numbers of different lengths cannot be compared."""
    with aws_in_memory():
        client = create_table(CONTROLS)
        DynamoSlotStore(client, CONTROLS.name, SLOT).take_slot(1000, 1060)
        assert DynamoSlotStore(client, CONTROLS.name, 2 * SLOT).take_slot(500, 530) == 500
