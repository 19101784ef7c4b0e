"""One suite for the audit log on DynamoDB (moto) and for its in-memory fake."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from fakes.audit import MemoryAuditStore
from fakes.payments import MemoryPaymentStore
from payments.adapters.dynamodb.audit import DynamoAuditStore
from payments.adapters.dynamodb.payments import DynamoPaymentStore
from payments.adapters.dynamodb.tables import AUDIT_LOG, PAYMENTS
from payments.application.audit import audit
from payments.domain.audit_chain import AuditEntry, missing_entries, verify
from payments.domain.payment import Payment
from payments.domain.statuses import Status
from payments.ports.audit_store import AuditStore
from payments.ports.payment_store import PaymentStore, VersionConflict, require
from tests.moto_tables import aws_in_memory, create_table
from tests.unit import builders
from tests.unit.builders import after, largest_row, versions, waiting
from tests.unit.chain_heads import heads_of
from tests.unit.interruptions import Interrupted

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

payment = partial(builders.payment, method="")
MOST = 99
"""DynamoDB's transaction writes 100 items. One of them is the row with its marks."""
FEW, MORE = 3, 8
"""The entries of a transaction where their number does not matter, and versions that need three transactions."""


@dataclass
class Stores:
    payments: PaymentStore
    audit: AuditStore

    @property
    def row(self) -> Payment:
        return require(self.payments, "pay_1")

    @property
    def entries(self) -> list[AuditEntry]:
        return self.audit.entries("pay_1")

    @property
    def is_unsettled(self) -> bool:
        return waiting(self.payments) == ["pay_1"]

    def save(self, *statuses: Status) -> Payment:
        """Save each of the versions, as the workflow does."""
        for status in statuses:
            self.payments.save(after(self.row, status))
        return self.row

    def verify(self) -> None:
        verify(self.row, self.entries)


def on_dynamodb(client: "DynamoDBClient") -> Stores:
    return Stores(DynamoPaymentStore(client, PAYMENTS.name), DynamoAuditStore(client, AUDIT_LOG.name, PAYMENTS.name))


@pytest.fixture(params=["memory", "dynamodb"])
def stores(request: pytest.FixtureRequest) -> Iterator[Stores]:
    if request.param == "memory":
        payments = MemoryPaymentStore()
        yield Stores(payments, MemoryAuditStore(payments))
        return
    with aws_in_memory():
        client = create_table(PAYMENTS)
        create_table(AUDIT_LOG)
        yield on_dynamodb(client)


@pytest.fixture
def few_at_once(stores: Stores) -> Stores:
    """Stores whose log takes FEW entries at once: crashes between transactions need no hundreds of versions."""
    stores.audit.most_entries = FEW
    return stores


# One append -----------------------------------------------------------------------------------------------------------


def test_append_then_the_log_and_the_row_agree(stores: Stores) -> None:
    stores.payments.create(payment())
    done = stores.save(Status.PROCESSING, Status.SUCCEEDED)
    stores.audit.append(missing_entries(done), row_version=3)
    stores.verify()
    assert len(stores.entries) == 3


def test_append_of_a_taken_sequence_is_refused_and_changes_nothing(stores: Stores) -> None:
    stores.payments.create(payment())
    stores.audit.append(missing_entries(payment()), row_version=1)
    before = stores.entries
    with pytest.raises(VersionConflict):
        stores.audit.append(missing_entries(payment()), row_version=1)
    assert stores.entries == before


def test_append_when_entries_would_be_left_out_then_refused(stores: Stores) -> None:
    stores.payments.create(payment())
    later = missing_entries(stores.save(Status.PROCESSING))[1:]
    with pytest.raises(VersionConflict):
        stores.audit.append(later, row_version=2)
    assert stores.entries == []


@pytest.mark.fault(23)
@pytest.mark.parametrize("first", [slice(None), slice(1)], ids=["to_the_end", "in_parts"])
def test_append_when_the_row_moved_on_then_refused_and_nothing_is_written(stores: Stores, first: slice) -> None:
    stores.payments.create(payment())
    processing = stores.save(Status.PROCESSING)
    succeeded = stores.save(Status.SUCCEEDED)
    with pytest.raises(VersionConflict):
        stores.audit.append(missing_entries(processing)[first], row_version=2)
    assert stores.entries == []
    assert stores.row == succeeded


def test_entries_when_there_are_none_then_empty(stores: Stores) -> None:
    assert stores.entries == []


# More versions than one transaction holds -----------------------------------------------------------------------------


def test_append_takes_as_many_entries_as_a_transaction_and_no_more(stores: Stores) -> None:
    row = versions(MOST + 1)
    stores.payments.create(row)
    assert stores.audit.most_entries == MOST
    with pytest.raises((ValueError, ClientError)):
        stores.audit.append(missing_entries(row), row_version=row.version)
    assert (stores.row, stores.entries) == (row, [])
    stores.audit.append(missing_entries(row)[:MOST], row_version=row.version)
    assert (stores.row.audited_version, len(stores.entries)) == (MOST, MOST)


@pytest.mark.parametrize("number", [MOST, MOST + 1])
def test_audit_writes_versions_that_fill_a_transaction_of_dynamodb(stores: Stores, number: int) -> None:
    stores.payments.create(versions(number))
    audit(stores.row, log=stores.audit, heads=heads_of(stores.audit))
    stores.verify()
    assert [entry.sequence for entry in stores.entries] == list(range(1, number + 1))
    assert (stores.row.audited_version, stores.is_unsettled) == (number, False)


@pytest.mark.parametrize("number", [FEW, FEW + 1, FEW + 2, MORE])
def test_audit_writes_any_number_of_versions_and_the_chain_verifies(few_at_once: Stores, number: int) -> None:
    few_at_once.payments.create(versions(number))
    audit(few_at_once.row, log=few_at_once.audit, heads=heads_of(few_at_once.audit))
    few_at_once.verify()
    assert [entry.sequence for entry in few_at_once.entries] == list(range(1, number + 1))
    assert (few_at_once.row.audited_version, few_at_once.is_unsettled) == (number, False)


@pytest.mark.fault(23)
@pytest.mark.parametrize("appends", [0, 1, 2])
def test_audit_after_a_crash_between_transactions_continues_the_chain(few_at_once: Stores, appends: int) -> None:
    few_at_once.payments.create(versions(MORE))
    with pytest.raises(ConnectionError):
        audit(few_at_once.row, log=Interrupted(few_at_once.audit, appends), heads=heads_of(few_at_once.audit))
    few_at_once.verify()
    assert len(few_at_once.entries) == few_at_once.row.audited_version == appends * FEW
    assert few_at_once.is_unsettled

    audit(few_at_once.row, log=few_at_once.audit, heads=heads_of(few_at_once.audit))

    few_at_once.verify()
    assert [entry.sequence for entry in few_at_once.entries] == list(range(1, MORE + 1))
    assert (few_at_once.row.audited_version, few_at_once.is_unsettled) == (MORE, False)


@pytest.mark.fault(23)
def test_audit_continues_a_chain_of_a_row_that_moved_on_after_a_crash(few_at_once: Stores) -> None:
    few_at_once.payments.create(versions(FEW + 1))
    with pytest.raises(ConnectionError):
        audit(few_at_once.row, log=Interrupted(few_at_once.audit, 1), heads=heads_of(few_at_once.audit))
    few_at_once.save(Status.REFUNDED)
    audit(few_at_once.row, log=few_at_once.audit, heads=heads_of(few_at_once.audit))
    few_at_once.verify()
    assert [entry.sequence for entry in few_at_once.entries] == list(range(1, FEW + 3))


@pytest.mark.parametrize("appends", [0, 1, 2])
def test_audit_of_two_executions_at_once_writes_each_entry_once(few_at_once: Stores, appends: int) -> None:
    few_at_once.payments.create(versions(MORE))
    overtaken = Interrupted(
        few_at_once.audit,
        appends,
        by=lambda: audit(few_at_once.row, log=few_at_once.audit, heads=heads_of(few_at_once.audit)),
    )
    with pytest.raises(VersionConflict):
        audit(few_at_once.row, log=overtaken, heads=heads_of(overtaken))
    audit(few_at_once.row, log=few_at_once.audit, heads=heads_of(few_at_once.audit))  # the retry
    few_at_once.verify()
    assert (len(few_at_once.entries), few_at_once.row.audited_version, few_at_once.is_unsettled) == (MORE, MORE, False)


def test_append_up_to_an_earlier_settled_version_leaves_it_unsettled(stores: Stores) -> None:
    stores.payments.create(payment())
    row = stores.save(Status.PROCESSING, Status.SUCCEEDED, Status.REFUNDED)
    succeeded, refunded = missing_entries(row)[:3], missing_entries(row)[3:]
    stores.audit.append(succeeded, row_version=4)
    assert stores.is_unsettled
    stores.audit.append(refunded, row_version=4)
    assert not stores.is_unsettled


def test_entries_when_there_is_more_than_a_page_then_all_are_read() -> None:
    """DynamoDB gives 1 MB at a time."""
    with aws_in_memory():
        client = create_table(PAYMENTS)
        create_table(AUDIT_LOG)
        stores = on_dynamodb(client)
        stores.payments.create(replace(versions(40), correlation_id="r" * 30_000))
        audit(stores.row, log=stores.audit, heads=heads_of(stores.audit))
        stores.verify()
        assert len(stores.entries) == 40


# Bytes ----------------------------------------------------------------------------------------------------------------


def test_create_of_the_largest_row_fits_into_an_item() -> None:
    """DynamoDB's limit is 400 KB. moto knows it."""
    with aws_in_memory():
        payments = DynamoPaymentStore(create_table(PAYMENTS), PAYMENTS.name)
        payments.create(largest_row())
        assert require(payments, largest_row().payment_id) == largest_row()


def test_audit_of_the_largest_row_stays_far_below_4_mb_a_transaction() -> None:
    """DynamoDB's limit, which moto does not know. A request is larger than its items."""
    sizes = []

    class Measured:
        def transact_write_items(self, **request: Any) -> None:
            sizes.append(len(json.dumps(request)))

    client: Any = Measured()
    audit(
        largest_row(),
        log=DynamoAuditStore(client, AUDIT_LOG.name, PAYMENTS.name),
        heads=heads_of(DynamoAuditStore(client, AUDIT_LOG.name, PAYMENTS.name)),
    )
    assert len(sizes) == 11
    assert max(sizes) < 400_000
