"""One suite each for the bucket of backups, the tables that they read, and erasures: on AWS (moto) and in memory."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

import boto3
import pytest

from fakes.backups import MemoryBackupStore, MemoryTableSource
from fakes.erasure_ledger import MemoryErasureLedger
from payments.adapters.dynamodb.table_scan import DynamoTableScan
from payments.adapters.dynamodb.tables import PAYMENTS
from payments.adapters.s3_backups import S3BackupStore
from payments.adapters.s3_erasures import S3ErasureLedger
from payments.domain.backup import Row
from payments.domain.clock import parse_iso, utc_now
from payments.ports.backup_store import BackupStore, NoSuchObject
from payments.ports.erasure_ledger import ErasureLedger, LedgerUnavailable
from payments.ports.table_source import TableSource
from tests.moto_tables import aws_in_memory, create_table

ROWS = 25


@pytest.fixture(params=["memory", "s3"])
def store(request: pytest.FixtureRequest) -> Iterator[BackupStore]:
    if request.param == "memory":
        yield MemoryBackupStore()
        return
    with aws_in_memory():
        boto3.client("s3").create_bucket(Bucket="backups")
        yield S3BackupStore(boto3.client("s3"), "backups")


def test_stored_object_is_read_back_and_the_newest_version_counts(store: BackupStore) -> None:
    store.put("backups/2026-12-01T03-00-00Z/manifest.json", b"first")
    store.put("backups/2026-12-01T03-00-00Z/manifest.json", b"second")

    assert store.get("backups/2026-12-01T03-00-00Z/manifest.json") == b"second"


def test_object_that_does_not_exist_is_named(store: BackupStore) -> None:
    with pytest.raises(NoSuchObject, match="backups/none"):
        store.get("backups/none")


def test_timestamps_are_the_folders_of_backups_the_oldest_first(store: BackupStore) -> None:
    for name in ("2026-12-02T03-00-00Z/payments/part", "2026-12-01T03-00-00Z/a", "2026-12-01T03-00-00Z/b"):
        store.put(f"backups/{name}", b"-")
    store.put("erasures/cus_1", b"-")

    assert store.timestamps() == ["2026-12-01T03-00-00Z", "2026-12-02T03-00-00Z"]


def test_bucket_without_backups_has_no_timestamps(store: BackupStore) -> None:
    assert store.timestamps() == []


@dataclass(frozen=True)
class Source:
    source: TableSource
    rows: list[Row]


@pytest.fixture(params=["memory", "dynamodb"])
def source(request: pytest.FixtureRequest) -> Iterator[Source]:
    rows: list[Row] = [{"payment_id": {"S": f"pay_{number}"}} for number in range(ROWS)]
    if request.param == "memory":
        yield Source(MemoryTableSource({PAYMENTS.name: rows}), rows)
        return
    with aws_in_memory():
        client = create_table(PAYMENTS)
        for row in rows:
            client.put_item(TableName=PAYMENTS.name, Item=row)
        yield Source(DynamoTableScan(client, {PAYMENTS.name: PAYMENTS.name}), rows)


@pytest.mark.parametrize("segments", [1, 4])
def test_segments_together_have_every_row_once(source: Source, segments: int) -> None:
    found: list[str] = []
    for segment in range(segments):
        after, more = None, True
        while more:
            page = source.source.page(PAYMENTS.name, segment, segments, after)
            found += [row["payment_id"]["S"] for row in page.rows]
            after, more = page.next_key, page.next_key is not None

    assert sorted(found) == sorted(row["payment_id"]["S"] for row in source.rows)


def test_page_says_how_many_units_it_took(source: Source) -> None:
    assert source.source.page(PAYMENTS.name, 0, 1).units > 0


@pytest.fixture(params=["memory", "s3"])
def ledger(request: pytest.FixtureRequest) -> Iterator[ErasureLedger]:
    if request.param == "memory":
        yield MemoryErasureLedger()
        return
    with aws_in_memory():
        boto3.client("s3").create_bucket(Bucket="backups")
        yield S3ErasureLedger(lambda: boto3.client("s3"), "backups")


def test_erasure_is_noted_once_however_often_it_is_repeated(ledger: ErasureLedger) -> None:
    assert ledger.all() == {}
    now = utc_now()
    for customer_id in ("cus_1", "self_2", "cus_1"):
        ledger.add(customer_id, now)

    assert ledger.all().keys() == {"cus_1", "self_2"}
    assert all(abs(parse_iso(at) - now) < timedelta(minutes=1) for at in ledger.all().values())


def test_ledger_that_cannot_be_reached_says_so() -> None:
    with aws_in_memory(), pytest.raises(LedgerUnavailable, match="NoSuchBucket"):
        S3ErasureLedger(lambda: boto3.client("s3"), "missing").add("cus_1", utc_now())
