"""Many functions at one item at the same moment, on the local AWS: moto is not made for threads."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from local.ministack.server import LocalAws
from payments.adapters.dynamodb.batch_breaker import DynamoBreakerStore
from payments.adapters.dynamodb.events import DynamoEventStore
from payments.adapters.dynamodb.payments import DynamoPaymentStore
from payments.adapters.dynamodb.slots import DynamoSlotStore
from payments.adapters.dynamodb.tables import CONTROLS, GATEWAY_EVENTS, PAYMENTS
from payments.domain.batch_breaker import PausedBy
from payments.ports.payment_store import VersionConflict
from payments.ports.slot_counter import NoFreeSlot
from tests.moto_tables import create_table
from tests.unit.builders import NOON, gateway_event, payment

FUNCTIONS = 8


@pytest.fixture(scope="module")
def aws() -> Iterator[LocalAws]:
    with LocalAws(env={"AUTH": "false"}) as aws:
        for table in (CONTROLS, GATEWAY_EVENTS, PAYMENTS):
            create_table(table, aws.client("dynamodb"))
        yield aws


def all_at_once[T](call: Callable[[int], T]) -> list[T]:
    """The answers to so many calls that begin together."""
    with ThreadPoolExecutor(FUNCTIONS) as pool:
        return list(pool.map(call, range(FUNCTIONS)))


def test_take_slot_by_many_functions_at_once_gives_each_slot_to_one(aws: LocalAws) -> None:
    slots_each = 10
    last = 1000 + FUNCTIONS * slots_each - 1

    def take(_: int) -> list[int]:
        store = DynamoSlotStore(aws.client("dynamodb"), CONTROLS.name, timedelta(milliseconds=50))
        return [store.take_slot(1000, last) for _ in range(slots_each)]

    taken = [slot for slots in all_at_once(take) for slot in slots]
    assert sorted(taken) == list(range(1000, last + 1))
    with pytest.raises(NoFreeSlot):
        DynamoSlotStore(aws.client("dynamodb"), CONTROLS.name, timedelta(milliseconds=50)).take_slot(1000, last)


@pytest.mark.fault(19)
def test_pause_by_many_functions_at_once_succeeds_for_one(aws: LocalAws) -> None:
    def pause(number: int) -> bool:
        store = DynamoBreakerStore(aws.client("dynamodb"), CONTROLS.name)
        return store.pause(PausedBy.GATEWAY, f"function {number}", NOON)

    assert sum(all_at_once(pause)) == 1


def test_claim_restart_by_many_runs_at_once_succeeds_for_one(aws: LocalAws) -> None:
    DynamoPaymentStore(aws.client("dynamodb"), PAYMENTS.name).create(payment(method=""))

    def claim(_: int) -> bool:
        try:
            DynamoPaymentStore(aws.client("dynamodb"), PAYMENTS.name).claim_restart(payment(), NOON)
        except VersionConflict:
            return False
        return True

    assert sum(all_at_once(claim)) == 1


@pytest.mark.fault(36)
def test_event_added_many_times_at_once_is_new_only_once(aws: LocalAws) -> None:
    def add(_: int) -> bool:
        return DynamoEventStore(aws.client("dynamodb"), GATEWAY_EVENTS.name).add(gateway_event())

    assert sum(all_at_once(add)) == 1
