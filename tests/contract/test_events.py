"""One suite for the gateway events table on DynamoDB (moto) and for its in-memory fake."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest

from fakes.events import MemoryEventStore
from payments.adapters.dynamodb.events import DynamoEventStore
from payments.adapters.dynamodb.tables import GATEWAY_EVENTS
from payments.domain.due import Kind
from payments.domain.gateway_event import EventState, GatewayEvent
from payments.ports.event_store import EventStore
from tests.moto_tables import aws_in_memory, create_table
from tests.unit.builders import NOON, gateway_event, waiting


@pytest.fixture(params=["memory", "dynamodb"])
def events(request: pytest.FixtureRequest) -> Iterator[EventStore]:
    if request.param == "memory":
        yield MemoryEventStore()
        return
    with aws_in_memory():
        yield DynamoEventStore(create_table(GATEWAY_EVENTS), GATEWAY_EVENTS.name)


def later(event_id: str, minutes: int, payment_id: str = "pay_1") -> GatewayEvent:
    return gateway_event(event_id=event_id, payment_id=payment_id, at=NOON + timedelta(minutes=minutes))


def test_add_when_new_then_parked_and_found_as_it_came(events: EventStore) -> None:
    assert events.add(gateway_event())
    assert waiting(events, NOON, [Kind.EVENT]) == ["evt_1"]
    assert [events.get("evt_1")] == events.of_payment("pay_1") == [gateway_event()]


def test_add_when_the_event_names_no_reference_then_found_as_it_came(events: EventStore) -> None:
    bare = replace(gateway_event(), gateway_reference="")
    events.add(bare)
    assert events.of_payment("pay_1") == [bare]


@pytest.mark.parametrize("state", [EventState.APPLIED, EventState.IGNORED, EventState.CONTRADICTS])
def test_add_when_there_is_nothing_to_wait_for_then_never_parked(events: EventStore, state: EventState) -> None:
    settled = replace(gateway_event(), state=state)
    assert events.add(settled)
    events.settle(settled.event_id, EventState.APPLIED, NOON)
    assert waiting(events) == []
    assert events.of_payment("pay_1") == [settled]


@pytest.mark.fault(36)
def test_add_when_it_is_there_already_then_false_and_the_first_stays(events: EventStore) -> None:
    events.add(gateway_event())
    events.settle(gateway_event().event_id, EventState.APPLIED, NOON)
    assert not events.add(replace(gateway_event(), type="charge.refunded"))
    assert events.of_payment("pay_1") == [replace(gateway_event(), state=EventState.APPLIED)]
    assert waiting(events) == []


@pytest.mark.parametrize("state", [EventState.APPLIED, EventState.IGNORED, EventState.CONTRADICTS])
def test_settle_when_parked_then_it_says_so_and_is_no_longer_parked(events: EventStore, state: EventState) -> None:
    events.add(gateway_event())
    events.settle(gateway_event().event_id, state, NOON)
    assert waiting(events) == []
    assert [event.state for event in events.of_payment("pay_1")] == [state]


def test_settle_when_settled_already_then_the_first_word_stands(events: EventStore) -> None:
    events.add(gateway_event())
    events.settle(gateway_event().event_id, EventState.CONTRADICTS, NOON)
    events.settle(gateway_event().event_id, EventState.APPLIED, NOON)
    assert [event.state for event in events.of_payment("pay_1")] == [EventState.CONTRADICTS]


def test_parked_when_several_wait_then_oldest_first(events: EventStore) -> None:
    for name, minutes in (("evt_b", 2), ("evt_c", 3), ("evt_a", 1)):
        events.add(later(name, minutes, payment_id=name))
    events.settle(later("evt_b", 2).event_id, EventState.APPLIED, NOON)
    assert waiting(events) == ["evt_a", "evt_c"]


def test_of_payment_when_several_are_about_it_then_those_oldest_first(events: EventStore) -> None:
    for name, minutes in (("evt_b", 2), ("evt_a", 1)):
        events.add(later(name, minutes))
    events.add(later("evt_x", 0, payment_id="pay_2"))
    assert [event.event_id for event in events.of_payment("pay_1")] == ["evt_a", "evt_b"]
    assert events.of_payment("pay_3") == []


@pytest.mark.parametrize("parked_first", [True, False])
def test_dynamodb_event_expires_90_days_after_settling_never_while_parked(parked_first: bool) -> None:
    def expires_at() -> str | None:
        item = client.get_item(TableName=GATEWAY_EVENTS.name, Key={"event_id": {"S": "evt_1"}})["Item"]
        return item.get(GATEWAY_EVENTS.expires, {}).get("N")

    with aws_in_memory():
        client = create_table(GATEWAY_EVENTS)
        events = DynamoEventStore(client, GATEWAY_EVENTS.name)
        if parked_first:
            events.add(gateway_event())
            assert expires_at() is None
            events.settle(gateway_event().event_id, EventState.APPLIED, NOON)
        else:
            events.add(replace(gateway_event(), state=EventState.APPLIED))
        assert expires_at() == str(int((NOON + timedelta(days=90)).timestamp()))


def test_identify_gives_a_parked_event_its_payment_and_no_reference(events: EventStore) -> None:
    unknown = gateway_event("refund.failed", payment_id="", reference="sealed.v1.text")
    events.add(unknown)
    assert waiting(events, NOON, [Kind.REFUND]) == ["evt_1"]
    assert events.get("evt_1") == unknown
    known = replace(unknown, payment_id="pay_1", environment_id="e", reference_digest="digest", gateway_reference="")
    events.identify(known)
    assert waiting(events, NOON, [Kind.EVENT]) == waiting(events) == ["evt_1"]
    assert events.of_payment("pay_1") == [known]


def test_identify_does_not_change_a_settled_event(events: EventStore) -> None:
    events.add(gateway_event())
    events.settle("evt_1", EventState.APPLIED, NOON)
    events.identify(replace(gateway_event(), payment_id="pay_2"))
    events.identify(replace(gateway_event(), event_id="evt_unknown", payment_id="pay_2"))
    assert events.of_payment("pay_2") == []


def test_look_again_moves_the_due_time_of_a_parked_event_only(events: EventStore) -> None:
    events.add(gateway_event())
    events.look_again(gateway_event(), NOON + timedelta(hours=1))
    assert waiting(events, NOON + timedelta(minutes=79)) == []
    assert waiting(events, NOON + timedelta(minutes=80)) == ["evt_1"]
    events.settle("evt_1", EventState.APPLIED, NOON)
    events.look_again(gateway_event(), NOON)
    assert waiting(events) == []


def test_get_of_an_unknown_event_is_none(events: EventStore) -> None:
    assert events.get("evt_1") is None


@pytest.mark.parametrize(("payment_id", "kind"), [("pay_1", Kind.EVENT), ("", Kind.REFUND)])
def test_dynamodb_events_of_before_move_to_the_index_by_due_time(payment_id: str, kind: Kind) -> None:
    with aws_in_memory():
        client = create_table(GATEWAY_EVENTS)
        events = DynamoEventStore(client, GATEWAY_EVENTS.name)
        events.add(gateway_event("refund.failed", payment_id=payment_id))
        client.update_item(
            TableName=GATEWAY_EVENTS.name,
            Key={"event_id": {"S": "evt_1"}},
            UpdateExpression="SET parked = :yes REMOVE due_kind, due_at",
            ExpressionAttributeValues={":yes": {"S": "yes"}},
        )
        assert list(events.adopt()) == ["evt_1"]
        assert waiting(events, NOON, [kind]) == ["evt_1"]
        assert list(events.adopt()) == []
