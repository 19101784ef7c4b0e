"""One suite for the limits table on DynamoDB (moto) and for its in-memory fake."""

from collections.abc import Iterator, Mapping

import boto3
import pytest

from fakes.limits import MemoryLimitStore
from payments.adapters.dynamodb.limits import DynamoLimitStore
from payments.adapters.dynamodb.tables import LIMITS
from payments.ports.limit_store import CounterFull, LimitStore, LimitsUnavailable
from payments.rest.rate_limits import WINDOW
from tests.moto_tables import aws_in_memory, create_table
from tests.unit.builders import NOON

Instances = list[LimitStore]


@pytest.fixture(params=["memory", "dynamodb"])
def instances(request: pytest.FixtureRequest) -> Iterator[Instances]:
    """Two stores on one table, as in two instances of a function."""
    if request.param == "memory":
        yield [MemoryLimitStore()] * 2
        return
    with aws_in_memory():
        client = create_table(LIMITS)
        yield [DynamoLimitStore(client, LIMITS.name) for _ in range(2)]


def test_count_when_several_instances_count_then_each_call_is_one_more(instances: Instances) -> None:
    assert [instances[n % 2].count("ip#1", NOON) for n in range(5)] == [1, 2, 3, 4, 5]


def test_count_when_another_counter_then_from_one(instances: Instances) -> None:
    instances[0].count("ip#1", NOON)
    assert instances[1].count("ip#2", NOON) == 1


def test_add_counts_repeated_members_once_across_instances(instances: Instances) -> None:
    sizes = [len(added(instances[n % 2], member, a=9)["a"]) for n, member in enumerate("aabbac")]
    assert sizes == [1, 1, 2, 2, 2, 3]


def test_add_beyond_the_maximum_keeps_the_set_full_and_takes_no_more(instances: Instances) -> None:
    for n, member in enumerate("abc"):
        added(instances[n % 2], member, a=2)
    for member in "da":
        with pytest.raises(CounterFull):
            added(instances[0], member, a=2)
    assert added(instances[1], "a", b=2) == {"a": frozenset("abc"), "b": frozenset("a")}


def test_add_returns_all_sets_of_the_counter(instances: Instances) -> None:
    added(instances[0], "a", c1=5)
    assert added(instances[1], "b", c2=5, s2=5) == {"c1": {"a"}, "c2": {"b"}, "s2": {"b"}}


def test_add_to_several_sets_of_which_one_is_full_writes_none(instances: Instances) -> None:
    added(instances[0], "a", small=0)
    with pytest.raises(CounterFull):
        added(instances[1], "b", cards=9, small=0)
    assert added(instances[0], "c", cards=9) == {"small": {"a"}, "cards": {"c"}}


def test_add_when_counted_under_the_same_name_then_both_stand_side_by_side(instances: Instances) -> None:
    instances[0].count("cards#1", NOON)
    assert added(instances[0], "a", a=1) == {"a": {"a"}}
    assert instances[1].count("cards#1", NOON) == 2


def added(store: LimitStore, member: str, **most: int) -> Mapping[str, frozenset[str]]:
    """Add a member to sets of one counter, and return its sets."""
    return store.add("cards#1", member, most=most, ends=NOON)


def test_dynamodb_items_expire_once_their_window_is_over() -> None:
    with aws_in_memory():
        client = create_table(LIMITS)
        store = DynamoLimitStore(client, LIMITS.name)
        store.count("hits", NOON + WINDOW)
        store.add("members", "a", most={"a": 1}, ends=NOON)
        store.add("members", "b", most={"b": 1}, ends=NOON + WINDOW)
        items = client.scan(TableName=LIMITS.name)["Items"]
    assert LIMITS.expires
    assert [int(item[LIMITS.expires]["N"]) for item in items] == [int((NOON + WINDOW).timestamp())] * 2


def test_counters_when_dynamodb_refuses_then_they_are_unavailable() -> None:
    with aws_in_memory():
        store = DynamoLimitStore(boto3.client("dynamodb"), "no-such-table")
        with pytest.raises(LimitsUnavailable, match="ResourceNotFoundException"):
            store.count("hits", NOON)
        with pytest.raises(LimitsUnavailable):
            store.add("members", "a", most={"a": 1}, ends=NOON)
