"""One suite for the tokens table on DynamoDB (moto) and for its in-memory fake."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import pytest

from fakes.tokens import MemoryTokenStore
from payments.adapters.dynamodb.tables import TOKENS
from payments.adapters.dynamodb.tokens import DynamoTokenStore
from payments.domain.clock import iso
from payments.domain.token import Token
from payments.ports.token_store import TokenExists, TokenStore
from tests.moto_tables import aws_in_memory, create_table
from tests.unit.builders import NOON


def token(name: str = "t1", customer_id: str = "cus_1", **more: Any) -> Token:
    """A token as it is stored, valid for an hour from noon."""
    made = Token(
        name,
        customer_id,
        "sealed.v1.m",
        {"order": "sealed.v1.o"},
        created_at=iso(NOON),
        expires_at=iso(NOON + timedelta(hours=1)),
        created_by="sub_shop",
    )
    return replace(made, **more)


@dataclass(frozen=True)
class Table:
    """Two stores on one table, as in two functions."""

    store: TokenStore
    other: TokenStore


@pytest.fixture(params=["memory", "dynamodb"])
def table(request: pytest.FixtureRequest) -> Iterator[Table]:
    if request.param == "memory":
        store = MemoryTokenStore()
        yield Table(store, store)
        return
    with aws_in_memory():
        client = create_table(TOKENS)
        yield Table(DynamoTokenStore(client, TOKENS.name), DynamoTokenStore(client, TOKENS.name))


@pytest.mark.parametrize("made", [token(), token(metadata={})])
def test_create_when_it_is_new_then_get_gives_the_same(table: Table, made: Token) -> None:
    table.store.create(made)
    assert table.other.get("t1") == made


def test_get_when_there_is_none_then_none(table: Table) -> None:
    assert table.store.get("t1") is None


def test_create_when_the_id_is_taken_then_refused_and_the_first_stays(table: Table) -> None:
    table.store.create(token())
    with pytest.raises(TokenExists):
        table.other.create(token(customer_id="cus_2"))
    assert table.store.get("t1") == token()


def test_revoke_keeps_the_time_and_nothing_the_token_stood_for(table: Table) -> None:
    table.store.create(token())
    table.store.revoke("t1", NOON + timedelta(minutes=1))
    revoked = token(revoked_at=iso(NOON + timedelta(minutes=1)), payment_method="", metadata={})
    assert table.other.get("t1") == revoked


def test_revoke_when_it_is_revoked_already_then_the_first_time_stays(table: Table) -> None:
    table.store.create(token())
    table.store.revoke("t1", NOON)
    table.other.revoke("t1", NOON + timedelta(minutes=1))
    revoked = table.store.get("t1")
    assert revoked
    assert revoked.revoked_at == iso(NOON)


def test_revoke_when_there_is_none_then_none_is_made(table: Table) -> None:
    table.store.revoke("t1", NOON)
    assert table.store.get("t1") is None


def test_revoke_all_of_revokes_only_its_customers_and_keeps_first_times(table: Table) -> None:
    for made in (token(), token("t2"), token("t3", "cus_2")):
        table.store.create(made)
    table.store.revoke("t1", NOON)
    table.other.revoke_all_of("cus_1", NOON + timedelta(minutes=1))
    found = [table.store.get(name) for name in ("t1", "t2", "t3")]
    revoked = {one.token_id: one.revoked_at for one in found if one}
    assert revoked == {"t1": iso(NOON), "t2": iso(NOON + timedelta(minutes=1)), "t3": ""}


def test_revoke_all_of_when_a_customer_has_none_then_nothing_happens(table: Table) -> None:
    table.store.create(token())
    table.store.revoke_all_of("cus_2", NOON)
    assert table.store.get("t1") == token()


def test_dynamodb_token_is_purged_90_days_after_it_expires() -> None:
    with aws_in_memory():
        client = create_table(TOKENS)
        DynamoTokenStore(client, TOKENS.name).create(token())
        item = client.get_item(TableName=TOKENS.name, Key={"token_id": {"S": "t1"}})["Item"]
    assert item["purge_at"] == {"N": str(int((NOON + timedelta(hours=1, days=90)).timestamp()))}


def test_revoke_all_of_when_there_are_more_than_a_page_then_all_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    with aws_in_memory():
        client = create_table(TOKENS)
        store = DynamoTokenStore(client, TOKENS.name)
        for number in range(5):
            store.create(token(f"t{number}"))
        monkeypatch.setattr(client, "get_paginator", _small_pages(client.get_paginator))
        store.revoke_all_of("cus_1", NOON)
        found = [store.get(f"t{number}") for number in range(5)]
    assert all(one and one.revoked_at for one in found)


def test_revoke_all_of_when_repeated_then_it_continues_with_the_others() -> None:
    """A call that runs out of time leaves the rest to the next: it must not spend its own time on the same tokens."""
    writes = []
    with aws_in_memory():
        client = create_table(TOKENS)
        store = DynamoTokenStore(client, TOKENS.name)
        for number in range(5):
            store.create(token(f"t{number}"))
        for number in range(3):
            store.revoke(f"t{number}", NOON)
        client.meta.events.register("before-call.dynamodb.UpdateItem", lambda **call: writes.append(call))
        store.revoke_all_of("cus_1", NOON)
    assert len(writes) == 2


def _small_pages(get_paginator: Callable[..., Any]) -> Callable[..., Any]:
    """Pages of two items."""

    class Paginator:
        def __init__(self, operation: str) -> None:
            self._paginator = get_paginator(operation)

        def paginate(self, **arguments: Any) -> Any:
            return self._paginator.paginate(**arguments, PaginationConfig={"PageSize": 2})

    return Paginator
