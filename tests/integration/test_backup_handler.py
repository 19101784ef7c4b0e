"""The backup function on moto: tables in, a verified backup out, and the metrics of its alarms."""

import json
from types import ModuleType
from typing import Any

import boto3
import pytest

from payments.adapters.dynamodb.backed_up import BACKED_UP
from payments.adapters.dynamodb.tables import CUSTOMERS, PAYMENTS
from payments.adapters.s3_backups import S3BackupStore
from payments.application.backup import manifest_at
from payments.application.verify_backup import rows_of
from payments.domain.backup import Manifest, key_of
from payments.observability.metrics import BACKUPS_SHORT, BACKUPS_UNVERIFIABLE, BACKUPS_VERIFIED
from tests.integration.functions import Context, load, metrics_in
from tests.moto_tables import create_table

STAMP, LATER = "2026-12-01T03-00-00Z", "2026-12-02T03-00-00Z"


class BackupFunction:
    """The handler, and the events that it sends to itself."""

    def __init__(self, handler: ModuleType) -> None:
        self.handler = handler
        self.sent: list[dict[str, Any]] = []
        handler.itself = self.sent.append  # type: ignore[attr-defined]
        self.store = S3BackupStore(boto3.client("s3"), "backups")

    def run(self, event: dict[str, Any], milliseconds: int = 900_000) -> None:
        """Run it with an event, and then with each that it sends to itself."""
        self.handler.handler(event, Context(milliseconds))
        while self.sent:
            self.handler.handler(self.sent.pop(0), Context(milliseconds))

    def manifest(self, timestamp: str = STAMP) -> Manifest:
        """The manifest of a backup."""
        return manifest_at(self.store, timestamp)


@pytest.fixture
def function(aws: None, monkeypatch: pytest.MonkeyPatch) -> BackupFunction:
    for table in BACKED_UP:
        create_table(table, is_open=False)
    boto3.client("s3").create_bucket(Bucket="backups")
    for number in range(3):
        boto3.client("dynamodb").put_item(TableName=PAYMENTS.name, Item={"payment_id": {"S": f"pay_{number}"}})
    boto3.client("dynamodb").put_item(TableName=CUSTOMERS.name, Item={"customer_id": {"S": "cus_1"}})
    return BackupFunction(
        load(
            "backup",
            AWS_LAMBDA_FUNCTION_NAME="payment-backup-test",
            BACKUP_BUCKET="backups",
            BACKUP_READ_UNITS_PER_SECOND="100000",
            BACKUP_REGION="us-east-1",
            CODE_VERSION="code-1",
            EMAIL_HASH_KEY_ARN="arn:lookup",
            ENVIRONMENT_ID="0123456789abcdef",
            PROCESSING_STATUS_TABLE="payment-processing-status",
            GATEWAY_EVENTS_TABLE="payment-gateway-events",
            PAYMENTS_TABLE="payments",
            REFUNDS_TABLE="payment-refunds",
            AUDIT_TABLE="payment-audit-log",
            CUSTOMERS_TABLE="customers",
            TOKENS_TABLE="payment-tokens",
            DENIED_TABLE="payment-denied-attempts",
            CONTROLS_TABLE="payment-controls",
        )
    )


def test_scheduled_run_backs_up_every_table_and_verifies_it(
    function: BackupFunction, capsys: pytest.CaptureFixture[str]
) -> None:
    function.run({})

    (timestamp,) = function.store.timestamps()
    manifest = function.manifest(timestamp)
    assert [table.name for table in manifest.tables] == [table.name for table in BACKED_UP]
    assert manifest.rows == 4
    payments = manifest.table("payments")
    assert payments
    rows = [row for part in payments.parts for row in rows_of(function.store, timestamp, part)]
    assert sorted(row["payment_id"]["S"] for row in rows) == ["pay_0", "pay_1", "pay_2"]
    assert manifest.origin.code_version == "code-1"
    assert manifest.origin.keys.keys() == {"fields", "lookup"}
    assert json.loads(function.store.get(key_of(timestamp, "verified.json")))["problems"] == []
    assert metrics_in(capsys.readouterr().out) == {BACKUPS_VERIFIED: 1}


def test_run_whose_time_is_over_continues_itself(function: BackupFunction) -> None:
    function.run({"timestamp": STAMP}, milliseconds=1000)

    assert function.manifest().rows == 4


def test_replaced_part_fires_the_alarm_of_unverifiable_backups(
    function: BackupFunction, capsys: pytest.CaptureFixture[str]
) -> None:
    function.run({"timestamp": STAMP})
    payments = function.manifest().table("payments")
    assert payments
    function.store.put(key_of(STAMP, payments.parts[0].name), b"replaced")
    capsys.readouterr()

    function.run({"verify": STAMP})

    assert metrics_in(capsys.readouterr().out) == {BACKUPS_UNVERIFIABLE: 1}


def test_deleted_rows_fire_the_alarm_of_short_backups(
    function: BackupFunction, capsys: pytest.CaptureFixture[str]
) -> None:
    function.run({"timestamp": STAMP})
    boto3.client("dynamodb").delete_item(TableName=PAYMENTS.name, Key={"payment_id": {"S": "pay_0"}})
    capsys.readouterr()

    function.run({"timestamp": LATER})

    assert metrics_in(capsys.readouterr().out) == {BACKUPS_VERIFIED: 1, BACKUPS_SHORT: 1}
