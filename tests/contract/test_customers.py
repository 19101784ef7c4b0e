"""One suite for the customers table on DynamoDB (moto) and for its in-memory fake."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import pytest

from fakes.customers import MemoryCustomerStore
from payments.adapters.dynamodb.customers import DynamoCustomerStore
from payments.adapters.dynamodb.tables import CUSTOMERS
from payments.domain.clock import iso
from payments.domain.customer import Customer, CustomerRequest, changed, created, erased
from payments.domain.listing import Cursor
from payments.ports.customer_store import CustomerExists, CustomerStore
from payments.ports.payment_store import VersionConflict
from tests.moto_tables import aws_in_memory, create_table
from tests.unit.builders import NOON


def customer(customer_id: str = "cus_1", email_hash: str = "hash_1", seconds: int = 0, **more: Any) -> Customer:
    """A customer as it is stored, `seconds` after noon."""
    sealed = {"email": "sealed.v1.e", "name": "", "default_payment_method": "sealed.v1.m"} | more
    return created(
        CustomerRequest(customer_id, "jo@example.com"),
        sealed,
        email_hash=email_hash,
        subject="sub_jo",
        created_by="sub_shop",
        at=NOON + timedelta(seconds=seconds),
    )


OLD_ROW = Customer("cus_old", default_payment_method="pm_old")
BARE_ROW = Customer("cus_bare")


@dataclass(frozen=True)
class Table:
    """Two stores on one table that holds OLD_ROW and BARE_ROW, as in two functions, and the stored items."""

    store: CustomerStore
    other: CustomerStore
    attributes: Callable[[str], set[str]]


@pytest.fixture(params=["memory", "dynamodb"])
def table(request: pytest.FixtureRequest) -> Iterator[Table]:
    if request.param == "memory":
        store = MemoryCustomerStore(OLD_ROW, BARE_ROW)

        def filled(customer_id: str) -> set[str]:
            row = store.rows[customer_id]
            return {name for name in Customer.__dataclass_fields__ if getattr(row, name)}

        yield Table(store, store, filled)
        return
    with aws_in_memory():
        client = create_table(CUSTOMERS)
        client.put_item(
            TableName=CUSTOMERS.name,
            Item={
                "customer_id": {"S": "cus_old"},
                "default_payment_method": {"S": "pm_old"},
                "note": {"S": "of another program"},
            },
        )
        client.put_item(TableName=CUSTOMERS.name, Item={"customer_id": {"S": "cus_bare"}})

        def stored(customer_id: str) -> set[str]:
            return set(client.get_item(TableName=CUSTOMERS.name, Key={"customer_id": {"S": customer_id}})["Item"])

        yield Table(DynamoCustomerStore(client, CUSTOMERS.name), DynamoCustomerStore(client, CUSTOMERS.name), stored)


@pytest.mark.parametrize("row", [customer(), customer(name="sealed.v1.n")], ids=["without a name", "with all"])
def test_create_when_it_is_new_then_get_gives_the_same(table: Table, row: Customer) -> None:
    table.store.create(row)
    assert table.other.get("cus_1") == row


def test_get_when_there_is_none_then_none(table: Table) -> None:
    assert table.store.get("cus_1") is None


def test_create_with_a_taken_id_keeps_and_returns_the_first(table: Table) -> None:
    table.store.create(customer())
    with pytest.raises(CustomerExists) as taken:
        table.other.create(customer(email_hash="hash_2"))
    assert taken.value.existing == customer()
    assert table.store.get("cus_1") == customer()


def test_create_when_a_row_is_of_before_there_were_owners_then_it_stays(table: Table) -> None:
    with pytest.raises(CustomerExists) as taken:
        table.store.create(customer("cus_old"))
    assert taken.value.existing == OLD_ROW


def test_save_when_it_is_the_next_version_then_stored(table: Table) -> None:
    table.store.create(customer())
    later = changed(customer(), {"name": "sealed.v1.n", "default_payment_method": ""}, at=NOON + timedelta(hours=1))
    table.store.save(later)
    assert table.other.get("cus_1") == later
    assert "default_payment_method" not in table.attributes("cus_1")


def test_save_when_two_change_the_same_version_then_the_second_is_refused(table: Table) -> None:
    table.store.create(customer())
    first = changed(customer(), {"name": "sealed.v1.first"}, at=NOON)
    table.store.save(first)
    with pytest.raises(VersionConflict):
        table.other.save(changed(customer(), {"name": "sealed.v1.second"}, at=NOON))
    assert table.store.get("cus_1") == first


def test_save_when_there_is_none_then_refused(table: Table) -> None:
    for never_stored in (customer(), changed(customer(), {}, at=NOON)):
        with pytest.raises(VersionConflict):
            table.store.save(never_stored)
    assert table.store.get("cus_1") is None


def test_get_returns_rows_from_before_owners_at_version_zero(table: Table) -> None:
    assert table.store.get("cus_old") == OLD_ROW
    assert table.store.get("cus_bare") == BARE_ROW
    assert OLD_ROW.version == BARE_ROW.version == 0


def test_save_of_a_row_from_before_owners_stores_one_of_two_changes(table: Table) -> None:
    first = changed(OLD_ROW, {"email": "sealed.v1.e", "email_hash": "hash_1"}, at=NOON)
    table.store.save(first)
    with pytest.raises(VersionConflict):
        table.other.save(changed(OLD_ROW, {"default_payment_method": "sealed.v1.m"}, at=NOON))
    assert table.store.get("cus_old") == replace(first, default_payment_method="pm_old")
    assert table.store.find_by_email_hash("hash_1", 10).customers == [first]


@pytest.mark.parametrize("row", [customer(name="sealed.v1.n"), OLD_ROW], ids=["now", "before there were owners"])
def test_erased_customer_keeps_nothing_personal_and_its_id_is_not_reused(table: Table, row: Customer) -> None:
    if row.version:
        table.store.create(row)
    table.store.save(erased(row, at=NOON))
    kept = table.attributes(row.customer_id)
    assert kept - {"created_at", "erased_for"} == {"customer_id", "version", "erased_at"}
    gone = table.store.get(row.customer_id)
    assert gone
    assert (gone.default_payment_method, gone.created_by) == ("", "")
    with pytest.raises(CustomerExists) as taken:
        table.other.create(customer(row.customer_id))
    assert taken.value.existing.erased_at


def test_save_when_it_was_erased_meanwhile_then_it_stays_erased(table: Table) -> None:
    table.store.create(customer())
    tombstone = erased(customer(), at=NOON)
    table.store.save(tombstone)
    with pytest.raises(VersionConflict):
        table.other.save(changed(customer(), {"name": "sealed.v1.n"}, at=NOON))
    assert table.store.get("cus_1") == tombstone


def test_get_returns_the_default_method_with_creator_and_creation_time(table: Table) -> None:
    table.store.create(customer())
    row = table.other.get("cus_1")
    assert row
    assert row.default_payment_method == "sealed.v1.m"
    assert (row.created_by, row.created_at) == ("sub_shop", iso(NOON))


def test_find_by_email_hash_returns_the_oldest_first_up_to_the_limit(table: Table) -> None:
    rows = [customer(f"cus_{9 - n}", seconds=n) for n in range(3)]
    for row in [*rows, customer("cus_other", email_hash="hash_2")]:
        table.store.create(row)
    assert table.store.find_by_email_hash("hash_1", 10) == (rows, None)
    first, after = table.store.find_by_email_hash("hash_1", 2)
    assert (first, after) == (rows[:2], Cursor(rows[1].created_at, rows[1].customer_id))
    assert table.store.find_by_email_hash("hash_1", 2, after) == (rows[2:], None)
    assert table.store.find_by_email_hash("hash_3", 10) == ([], None)


def test_find_by_email_hash_ignores_hashes_since_changed_or_erased(table: Table) -> None:
    for row in (customer(), customer("cus_2")):
        table.store.create(row)
    table.store.save(changed(customer(), {"email": "sealed.v1.x", "email_hash": "hash_2"}, at=NOON))
    table.store.save(erased(customer("cus_2"), at=NOON))
    assert table.store.find_by_email_hash("hash_1", 10).customers == []
    assert [row.customer_id for row in table.store.find_by_email_hash("hash_2", 10).customers] == ["cus_1"]
