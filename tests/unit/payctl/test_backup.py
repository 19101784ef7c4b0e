"""payctl backup, on moto."""

import json
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest

from fakes.backups import MemoryTableSource
from payctl.failures import Exit
from payments.adapters.dynamodb.backed_up import BACKED_UP
from payments.adapters.dynamodb.backed_up_chains import BackedUpChains
from payments.adapters.s3_backups import S3BackupStore
from payments.application.backup import BackupRun
from payments.application.read_rate import ReadRate
from payments.application.verify_backup import VerifyRun
from payments.domain.backup import Origin, Row, key_of
from payments.domain.clock import utc_now
from tests.moto_tables import aws_in_memory
from tests.unit.payctl.scenarios import Payctl, payctl_with

OLD, NEW = "2026-12-01T03-00-00Z", "2026-12-02T03-00-00Z"
TABLES = [table.name for table in BACKED_UP]


class Backups:
    """A bucket of backups, and payctl."""

    def __init__(self, payctl: Payctl) -> None:
        self.payctl = payctl
        self.store = S3BackupStore(boto3.client("s3"), "backups")

    def make(self, timestamp: str, *, payments: int = 2, complete: bool = True, **more: list[Row]) -> None:
        """Make a backup as the function does. `more` are rows of tables, whose names have `_` for `-`."""
        rows: dict[str, list[Row]] = {table: [{"id": {"S": "1"}}] for table in TABLES}
        rows["payment-audit-log"] = [{"payment_id": {"S": "denied:payment:pay_1"}}]
        rows["payments"] = [{"payment_id": {"S": f"pay_{number}"}} for number in range(payments)]
        rows |= {table.replace("_", "-"): some for table, some in more.items()}
        run = BackupRun(
            source=MemoryTableSource(rows, page_rows=1),
            store=self.store,
            origin=Origin("0123456789abcdef", "test", "us-east-1", "code-1", "schema-1", {}),
            tables=TABLES,
            left_out={},
            clock=utc_now,
            rate=ReadRate(1e9, lambda: 0.0, lambda _: None),
            continue_later=lambda _: None,
            segments=1,
        )
        run.run(timestamp, "run1", lambda: 900 if complete else 0)
        if complete:
            VerifyRun(self.store, TABLES, BackedUpChains().faults, utc_now, lambda *_: None).run(timestamp, lambda: 900)


@pytest.fixture
def backups(tmp_path: Path) -> Iterator[Backups]:
    with aws_in_memory():
        boto3.client("s3").create_bucket(Bucket="backups")
        yield Backups(payctl_with(tmp_path, backup_bucket="backups"))


def test_list_shows_each_backup_and_its_state_the_newest_first(backups: Backups) -> None:
    backups.make(OLD)
    backups.make(NEW, complete=False)

    listed = json.loads(backups.payctl("backup", "list", "--json").stdout)["backups"]

    assert [(one["timestamp"], one["state"], one["rows"]) for one in listed] == [
        (NEW, "not complete", 0),
        (OLD, "verified", len(TABLES) + 1),
    ]
    assert "not complete" in backups.payctl("backup", "list").stdout


def test_verify_takes_the_newest_complete_backup(backups: Backups) -> None:
    backups.make(OLD)
    backups.make(NEW, complete=False)

    done = backups.payctl("backup", "verify", "--json")

    assert done.exit_code == Exit.DONE
    answer = json.loads(done.stdout)
    assert (answer["timestamp"], answer["problems"], answer["rows"]["payments"]) == (OLD, [], 2)
    assert f"Backup {OLD} is verified" in backups.payctl("backup", "verify").stdout


def test_verify_names_a_changed_part_and_fails(backups: Backups) -> None:
    backups.make(OLD)
    part = "payments/part-00-run1-00000.jsonl.gz"
    backups.store.put(key_of(OLD, part), b"changed")

    done = backups.payctl("backup", "verify", OLD)

    assert done.exit_code == Exit.FAILED
    assert f"{part} was changed" in done.stderr


@pytest.mark.parametrize(
    ("named", "text", "code"),
    [
        ("yesterday", "yesterday is not the name of a backup", Exit.USAGE),
        (NEW, f"there is no complete backup {NEW}", Exit.FAILED),
    ],
)
def test_backup_that_does_not_exist_is_named(backups: Backups, named: str, text: str, code: Exit) -> None:
    done = backups.payctl("backup", "verify", named)

    assert done.exit_code == code
    assert text in done.stderr


def test_verify_without_a_backup_says_how_to_make_one(backups: Backups) -> None:
    assert "payctl backup run" in backups.payctl("backup", "verify").stderr


def _row(**values: str) -> Row:
    return {name: {"S": value} for name, value in values.items()}


def test_find_shows_a_payment_with_its_events_and_audit_entries(backups: Backups) -> None:
    backups.make(
        OLD,
        payments=3,
        payment_gateway_events=[_row(event_id="evt_1", payment_id="pay_1"), _row(event_id="evt_2", payment_id="pay_2")],
        payment_audit_log=[_row(payment_id="pay_1", status="pending"), _row(payment_id="pay_2", status="pending")],
    )

    found = json.loads(backups.payctl("backup", "find", "pay_1", "--json").stdout)

    assert found["timestamp"] == OLD
    assert found["rows"] == {
        "payment-gateway-events": [{"event_id": "evt_1", "payment_id": "pay_1"}],
        "payments": [{"payment_id": "pay_1"}],
        "payment-audit-log": [{"payment_id": "pay_1", "status": "pending"}],
    }
    assert "evt_1" in backups.payctl("backup", "find", "pay_1", "--backup", OLD).stdout


def test_find_of_a_customer_includes_its_payments(backups: Backups) -> None:
    backups.make(
        OLD,
        customers=[_row(customer_id="cus_1"), _row(customer_id="cus_2")],
        payment_audit_log=[_row(payment_id="pay_9"), _row(payment_id="pay_0")],
        payment_tokens=[_row(token_id="t", customer_id="cus_1")],
    )
    backups.make(NEW, payment_audit_log=[], payment_tokens=[])
    assert "has nothing of cus_1" in backups.payctl("backup", "find", "cus_1").stderr

    found = json.loads(backups.payctl("backup", "find", "cus_1", "--backup", OLD, "--json").stdout)

    assert found["rows"] == {
        "customers": [{"customer_id": "cus_1"}],
        "payment-tokens": [{"customer_id": "cus_1", "token_id": "t"}],
    }
