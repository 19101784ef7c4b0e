"""Backups: complete, in bounded parts, continued beyond one run, and verified."""

import gzip
import json
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from fakes.backups import MemoryBackupStore, MemoryTableSource
from payments.application.backup import RESERVE_SECONDS, BackupRun, manifest_at, newest, short_of_rows
from payments.application.read_rate import MOST_UNITS_A_PAGE, ReadRate
from payments.application.verify_backup import PartBroken, VerifyRun, rows_of
from payments.domain.backup import (
    Manifest,
    Origin,
    Row,
    TableBackup,
    UnreadableManifest,
    began_at,
    key_of,
    manifest_of,
    timestamp_of,
)

NOW = datetime(2026, 12, 1, 3, tzinfo=UTC)
STAMP = "2026-12-01T03-00-00Z"
ORIGIN = Origin("0123456789abcdef", "test", "us-east-1", "code-1", "schema-1", {"fields": "arn:key"})
TABLES = ["payment-processing-status", "payments"]


def no_chains(_: str, rows: Iterable[Row]) -> list[str]:
    """These tables have no audit chains."""
    assert list(rows) is not None
    return []


class Rate(ReadRate):
    """Without a limit."""

    def __init__(self) -> None:
        super().__init__(1, lambda: 0.0, lambda _: None)


class BackupScenario:
    """Two tables, and a bucket that the backups are in."""

    def __init__(self, payments: int = 25) -> None:
        self.rows: dict[str, list[Row]] = {
            "payment-processing-status": [{"batch_id": {"S": "b1"}, "item": {"S": "SUMMARY"}}],
            "payments": [{"payment_id": {"S": f"pay_{number}"}} for number in range(payments)],
        }
        self.store = MemoryBackupStore()
        self.order: list[str] = []
        self.seconds = 900.0
        self.continued: list[str] = []
        self.run = BackupRun(
            source=MemoryTableSource(self.rows, page_rows=3, on_page=self.order.append),
            store=self.store,
            origin=ORIGIN,
            tables=TABLES,
            left_out={"payment-limits": "counters"},
            clock=lambda: NOW,
            rate=Rate(),
            continue_later=self.continued.append,
            segments=2,
        )

    def backed_up(self, table: str, manifest: Manifest) -> list[Row]:
        """The rows of a table in the backup."""
        found = manifest.table(table)
        assert found
        return [row for part in found.parts for row in rows_of(self.store, manifest.timestamp, part)]

    def verify(self, timestamp: str = STAMP, seconds: float = 900.0, start: int = 0) -> list[str] | None:
        """Verify a backup."""
        self.next_part = 0

        def go_on(part: int, problems: list[str]) -> None:
            self.next_part = part

        return VerifyRun(self.store, TABLES, no_chains, lambda: NOW, go_on).run(timestamp, lambda: seconds, start)


def _payment_ids(rows: list[Row]) -> set[str]:
    return {row["payment_id"]["S"] for row in rows}


def test_backup_has_every_row_of_every_table_and_a_manifest() -> None:
    scenario = BackupScenario()

    manifest = scenario.run.run("", "run1", lambda: 900)

    assert manifest == manifest_at(scenario.store, STAMP) == newest(scenario.store)
    assert manifest
    assert [(table.name, table.rows) for table in manifest.tables] == [(TABLES[0], 1), (TABLES[1], 25)]
    assert _payment_ids(scenario.backed_up("payments", manifest)) == _payment_ids(scenario.rows["payments"])
    assert manifest.origin == ORIGIN
    assert manifest.left_out == {"payment-limits": "counters"}
    assert manifest.ended_at
    assert scenario.verify() == []


def test_backup_reads_the_tables_in_their_order() -> None:
    scenario = BackupScenario()

    scenario.run.run(STAMP, "run1", lambda: 900)

    assert list(dict.fromkeys(scenario.order)) == TABLES


def test_parts_are_json_lines_gzipped_below_the_timestamp() -> None:
    scenario = BackupScenario(payments=1)
    scenario.run.run(STAMP, "run1", lambda: 900)

    content = scenario.store.objects[f"backups/{STAMP}/payments/part-00-run1-00000.jsonl.gz"]

    assert [json.loads(line) for line in gzip.decompress(content).splitlines()] == scenario.rows["payments"]


def test_part_is_closed_when_it_is_large_so_that_memory_is_bounded() -> None:
    scenario = BackupScenario(payments=30)

    manifest = replace(scenario.run, part_bytes=1).run(STAMP, "run1", lambda: 900)

    assert manifest
    payments = manifest.table("payments")
    assert payments
    assert [part.rows for part in payments.parts] == [3] * 10
    assert scenario.verify() == []


def test_backup_without_time_is_continued_where_it_stopped() -> None:
    scenario = BackupScenario()
    runs = 0
    manifest = None

    while manifest is None:
        runs += 1
        manifest = scenario.run.run(STAMP, f"run{runs}", lambda: RESERVE_SECONDS)
        assert runs < 20

    assert scenario.continued == [STAMP] * (runs - 1)
    assert runs > 3
    assert len(scenario.backed_up("payments", manifest)) == 25
    assert _payment_ids(scenario.backed_up("payments", manifest)) == _payment_ids(scenario.rows["payments"])
    assert scenario.verify() == []


def test_run_that_repeats_a_stopped_one_overwrites_none_of_its_parts() -> None:
    scenario = BackupScenario()
    scenario.run.run(STAMP, "run1", lambda: RESERVE_SECONDS)
    parts = dict(scenario.store.objects)

    scenario.run.run(STAMP, "run2", lambda: 900)
    scenario.run.run(STAMP, "run3", lambda: 900)

    assert {key: scenario.store.objects[key] for key in parts if "part-" in key} == {
        key: content for key, content in parts.items() if "part-" in key
    }
    assert scenario.verify() == []


def test_backup_that_is_not_complete_is_no_backup() -> None:
    scenario = BackupScenario()

    scenario.run.run(STAMP, "run1", lambda: RESERVE_SECONDS)

    assert scenario.store.timestamps() == [STAMP]
    assert newest(scenario.store) is None


def test_changed_missing_and_emptied_parts_are_named() -> None:
    scenario = BackupScenario()
    manifest = scenario.run.run(STAMP, "run1", lambda: 900)
    assert manifest
    payments = manifest.table("payments")
    assert payments
    changed, missing = payments.parts[0].name, payments.parts[1].name
    scenario.store.objects[key_of(STAMP, changed)] = gzip.compress(b"{}\n")
    del scenario.store.objects[key_of(STAMP, missing)]

    assert scenario.verify() == [
        f"{changed} was changed: its hash is not that of the manifest",
        f"{missing} is missing",
    ]


def test_manifest_that_lacks_a_table_or_rows_is_named() -> None:
    scenario = BackupScenario()
    manifest = scenario.run.run(STAMP, "run1", lambda: 900)
    assert manifest
    payments = manifest.table("payments")
    assert payments
    changed = replace(manifest, tables=(replace(payments, rows=24, ended_at=""),))
    scenario.store.objects[key_of(STAMP, "manifest.json")] = changed.as_json()

    assert scenario.verify() == [
        "payment-processing-status is not in the backup",
        "payments was not read to its end",
        "payments has 24 rows by the manifest, but its parts have another number",
    ]


def test_verification_without_time_is_continued_at_its_part() -> None:
    scenario = BackupScenario()
    scenario.run.run(STAMP, "run1", lambda: 900)

    assert scenario.verify(seconds=59) is None
    assert scenario.next_part == 1
    assert scenario.verify(start=1) == []
    assert json.loads(scenario.store.objects[key_of(STAMP, "verified.json")])["problems"] == []


def test_part_with_other_rows_than_the_manifest_says_is_broken() -> None:
    scenario = BackupScenario()
    manifest = scenario.run.run(STAMP, "run1", lambda: 900)
    assert manifest
    part = replace(manifest.tables[0].parts[0], rows=2)

    with pytest.raises(PartBroken, match="has 1 rows, the manifest says 2"):
        list(rows_of(scenario.store, STAMP, part))


def test_backup_with_fewer_rows_than_before_is_short_unless_they_expire() -> None:
    scenario = BackupScenario()
    scenario.run.run("2026-11-30T03-00-00Z", "run1", lambda: 900)
    del scenario.rows["payments"][20:]
    del scenario.rows["payment-processing-status"][:]
    manifest = scenario.run.run(STAMP, "run2", lambda: 900)

    assert manifest
    assert short_of_rows(scenario.store, manifest, frozenset({TABLES[0]})) == {"payments": (25, 20)}


def test_first_backup_is_not_short() -> None:
    scenario = BackupScenario()
    manifest = scenario.run.run(STAMP, "run1", lambda: 900)

    assert manifest
    assert short_of_rows(scenario.store, manifest, frozenset()) == {}


def test_manifest_survives_its_file_and_a_newer_format_is_refused() -> None:
    manifest = Manifest(STAMP, ORIGIN, "2026-12-01T03:00:00.000Z", tables=(TableBackup("payments"),))

    assert manifest_of(manifest.as_json()) == manifest
    with pytest.raises(UnreadableManifest, match="format 2, which newer code wrote"):
        manifest_of(replace(manifest, format=2).as_json())
    with pytest.raises(UnreadableManifest):
        manifest_of(b"[]")


def test_names_of_backups_are_their_times_and_sort_by_them() -> None:
    assert timestamp_of(NOW) == STAMP
    assert began_at(STAMP) == NOW


def test_read_units_of_a_second_stay_below_the_rate() -> None:
    now, waited = 100.0, []

    def sleep(seconds: float) -> None:
        nonlocal now
        now += seconds
        waited.append(seconds)

    rate = ReadRate(MOST_UNITS_A_PAGE / 2, lambda: now, sleep)
    for _ in range(4):
        rate.take()
        rate.read(MOST_UNITS_A_PAGE)

    assert waited == [2, 2, 2]


def test_small_pages_give_back_what_they_did_not_need() -> None:
    now, waited = 100.0, []

    def sleep(seconds: float) -> None:
        nonlocal now
        now += seconds
        waited.append(seconds)

    rate = ReadRate(MOST_UNITS_A_PAGE, lambda: now, sleep)
    for _ in range(3):
        rate.take()
        rate.read(MOST_UNITS_A_PAGE / 4)

    assert waited == [0.25, 0.25]
