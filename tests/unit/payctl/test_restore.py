"""payctl backup restore, on moto: equal rows, one state, nothing overwritten, and resumable."""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest

from payctl.failures import Exit
from payments.adapters.dynamodb.audit import DynamoAuditStore
from payments.adapters.dynamodb.backed_up import BACKED_UP, LEFT_OUT
from payments.adapters.dynamodb.batch_breaker import DynamoBreakerStore
from payments.adapters.dynamodb.batches import DynamoBatchStore
from payments.adapters.dynamodb.events import DynamoEventStore
from payments.adapters.dynamodb.payments import DynamoPaymentStore
from payments.adapters.dynamodb.restored_rows import DynamoRestoreTarget
from payments.adapters.dynamodb.table_scan import DynamoTableScan
from payments.adapters.dynamodb.tables import (
    AUDIT_LOG,
    CONTROLS,
    CUSTOMERS,
    GATEWAY_EVENTS,
    PAYMENTS,
    PROCESSING_STATUS,
)
from payments.adapters.s3_backups import S3BackupStore
from payments.adapters.s3_erasures import S3ErasureLedger
from payments.application.audit import audit
from payments.application.backup import BackupRun
from payments.application.read_rate import ReadRate
from payments.domain.audit_chain import verify
from payments.domain.backup import Origin, Row, key_of
from payments.domain.batch.state import Batch, BatchStatus, Progress, Source
from payments.domain.clock import iso, utc_now
from payments.domain.due import Kind
from payments.domain.gateway_event import EventState, GatewayEvent
from payments.domain.payment import Payment, accepted, moved
from payments.domain.statuses import Status
from payments.ports.batch_store import Claim
from tests.moto_mapping import event_source_mapping
from tests.moto_tables import aws_in_memory, create_table
from tests.unit.builders import request
from tests.unit.chain_heads import heads_of
from tests.unit.payctl.scenarios import Payctl, payctl_with

STAMP = "2026-12-01T03-00-00Z"
EARLIER = datetime(2026, 12, 1, tzinfo=UTC)
TABLES = [table.name for table in BACKED_UP]
ENVIRONMENT_ID = "0123456789abcdef"


class RestoreScenario:
    """A stack on moto, its backups, and payctl."""

    def __init__(self, folder: Path) -> None:
        self.client = boto3.client("dynamodb")
        for table in BACKED_UP:
            create_table(table)
        boto3.client("s3").create_bucket(Bucket="backups")
        self.key: str = boto3.client("kms").create_key()["KeyMetadata"]["Arn"]
        role = boto3.client("iam").create_role(RoleName="r", AssumeRolePolicyDocument="{}")["Role"]["Arn"]
        waits = {"StartAt": "Wait", "States": {"Wait": {"Type": "Wait", "Seconds": 900, "End": True}}}
        self.executions = boto3.client("stepfunctions")
        self.machine = self.executions.create_state_machine(
            name="payments", definition=json.dumps(waits), roleArn=role
        )["stateMachineArn"]
        self.mapping = event_source_mapping()
        self.payctl: Payctl = payctl_with(
            folder,
            backup_bucket="backups",
            tokens_table="payment-tokens",
            denied_table="payment-denied-attempts",
            environment_id=ENVIRONMENT_ID,
            state_machine_arn=self.machine,
            dispatch_mapping_id=self.mapping,
        )
        self.store = S3BackupStore(boto3.client("s3"), "backups")
        self.payments = DynamoPaymentStore(self.client, PAYMENTS.name)
        self.log = DynamoAuditStore(self.client, AUDIT_LOG.name, PAYMENTS.name)
        self.batches = DynamoBatchStore(self.client, PROCESSING_STATUS.name, PAYMENTS.name)
        self.breaker = DynamoBreakerStore(self.client, CONTROLS.name)
        self.before_table: dict[str, Any] = {}

    def pay(self, payment_id: str, at: datetime = EARLIER, **more: Any) -> Payment:
        """A payment that succeeded and is audited."""
        first = accepted(request(payment_id), at=at, **{"source": "rest", **more})
        self.payments.create(first)
        audit(first, log=self.log, heads=heads_of(self.log))
        return self.succeed(payment_id)

    def succeed(self, payment_id: str) -> Payment:
        """Move a payment to its outcome."""
        row = self.row(payment_id)
        sent = moved(row, Status.PROCESSING, at=EARLIER, actor="charge", attempts=1, attempted_at=iso(EARLIER))
        self.payments.save(sent)
        self.payments.save(moved(sent, Status.SUCCEEDED, at=EARLIER, actor="workflow"))
        audit(self.row(payment_id), log=self.log, heads=heads_of(self.log))
        return self.row(payment_id)

    def row(self, payment_id: str) -> Payment:
        """The row of a payment."""
        found = self.payments.get(payment_id)
        assert found
        return found

    def rows(self, table: str) -> list[Row]:
        """All rows of a table."""
        return sorted(self.client.scan(TableName=table)["Items"], key=json.dumps)

    def back_up(self, timestamp: str = STAMP) -> None:
        """Back up. `before_table` has what happens before a table is read."""
        source = DynamoTableScan(self.client, {table: table for table in TABLES})
        happens = dict(self.before_table)

        class Traffic:
            def page(self, table: str, *where: Any) -> Any:
                happens.pop(table, lambda: None)()
                return source.page(table, *where)

        BackupRun(
            source=Traffic(),
            store=self.store,
            origin=Origin(ENVIRONMENT_ID, "test", "us-east-1", "code-1", "schema-1", {"fields": self.key}),
            tables=TABLES,
            left_out=LEFT_OUT,
            clock=lambda: EARLIER + timedelta(hours=3),
            rate=ReadRate(1e9, lambda: 0.0, lambda _: None),
            continue_later=lambda _: None,
            segments=1,
        ).run(timestamp, "run1", lambda: 900)

    def lose_all_tables(self) -> None:
        """Delete the tables, and create them empty."""
        for table in BACKED_UP:
            self.client.delete_table(TableName=table.name)
            create_table(table, is_open=False)

    def restore(self, *options: str, code: Exit = Exit.DONE) -> Any:
        """Restore the backup."""
        done = self.payctl("backup", "restore", STAMP, "--yes", *options)
        assert done.exit_code == code, done.output
        return done


@pytest.fixture
def scenario(tmp_path: Path) -> Iterator[RestoreScenario]:
    with aws_in_memory():
        yield RestoreScenario(tmp_path)


def test_restored_rows_equal_those_that_were_backed_up(scenario: RestoreScenario) -> None:
    for number in range(30):
        scenario.pay(f"pay_{number}")
    scenario.client.put_item(
        TableName=CUSTOMERS.name, Item={"customer_id": {"S": "cus_1"}, "email": {"S": "sealed.v1.x"}}
    )
    before = {table: scenario.rows(table) for table in (PAYMENTS.name, AUDIT_LOG.name, CUSTOMERS.name)}
    scenario.back_up()
    scenario.lose_all_tables()

    answer = json.loads(scenario.restore("--json").stdout)

    assert {table: scenario.rows(table) for table in before} == before
    assert answer["rows"]["payments"] == {"backup": 30, "written": 30}
    for number in range(30):
        verify(scenario.row(f"pay_{number}"), scenario.log.entries(f"pay_{number}"))


@pytest.mark.fault(76)
def test_customer_who_was_erased_since_the_backup_stays_erased(scenario: RestoreScenario) -> None:
    first = accepted(request("pay_1"), at=EARLIER, source="rest")
    scenario.payments.create(replace(first, customer_id="cus_1", client_ip="sealed.v1.ip"))
    audit(scenario.row("pay_1"), log=scenario.log, heads=heads_of(scenario.log))
    for customer_id in ("cus_1", "cus_2"):
        item = {"customer_id": {"S": customer_id}, "version": {"N": "1"}, "email": {"S": "sealed.v1.x"}}
        scenario.client.put_item(TableName=CUSTOMERS.name, Item=item)
    scenario.back_up()
    S3ErasureLedger(lambda: boto3.client("s3"), "backups").add("cus_1", utc_now())
    scenario.lose_all_tables()

    scenario.restore()

    erased, other = sorted(scenario.rows(CUSTOMERS.name), key=lambda row: row["customer_id"]["S"])
    assert erased.keys() == {"customer_id", "version", "erased_at"}
    assert other["email"] == {"S": "sealed.v1.x"}
    assert scenario.row("pay_1").client_ip == ""
    verify(scenario.row("pay_1"), scenario.log.entries("pay_1"))
    found = scenario.payctl("backup", "find", "cus_1", "--json").stdout
    assert "sealed.v1" not in found
    assert json.loads(found)["rows"]["customers"][0]["erased_at"]


@pytest.mark.fault(78)
def test_payments_that_go_on_during_a_backup_restore_to_one_state(scenario: RestoreScenario) -> None:
    scenario.payments.create(accepted(request("pay_moves"), at=EARLIER, source="rest"))
    audit(scenario.row("pay_moves"), log=scenario.log, heads=heads_of(scenario.log))
    scenario.before_table[AUDIT_LOG.name] = lambda: (scenario.succeed("pay_moves"), scenario.pay("pay_new"))
    scenario.back_up()
    scenario.lose_all_tables()

    scenario.restore()

    row = scenario.row("pay_moves")
    assert (row.status, row.version, row.audited_version) == (Status.PENDING, 1, 1)
    verify(row, scenario.log.entries("pay_moves"))
    assert [entry.sequence for entry in scenario.log.entries("pay_moves")] == [1]  # later ones would stop its audit
    assert scenario.log.entries("pay_new") == []
    assert scenario.payments.get("pay_new") is None
    scenario.succeed("pay_moves")
    verify(scenario.row("pay_moves"), scenario.log.entries("pay_moves"))


@pytest.mark.fault(78)
def test_batch_that_runs_during_a_backup_begins_again_and_counts_once(scenario: RestoreScenario) -> None:
    source = Source("files", "incoming/a.csv", "v1", "", 100)
    batch_id = source.batch_id
    claim = Claim("me", EARLIER, EARLIER + timedelta(hours=1))
    scenario.batches.claim_split(Batch(batch_id, source, BatchStatus.SPLITTING, iso(EARLIER), iso(EARLIER)), claim)
    for line in (2, 3):
        scenario.pay(f"row_{line}", source="batch", batch_id=batch_id, batch_line=line)
    scenario.batches.finish_split(batch_id, "me", Progress(3, 2, 2, 0, 0, 90), EARLIER)
    scenario.batches.close_row(scenario.row("row_2"))
    # its row says that it is closed, and the counter that was read before does not have it
    scenario.before_table[PAYMENTS.name] = lambda: scenario.batches.close_row(scenario.row("row_3"))
    scenario.back_up()
    scenario.lose_all_tables()

    scenario.restore()

    batch = scenario.batches.get(batch_id)
    assert batch
    assert (batch.status, batch.progress, batch.rows_closed) == (BatchStatus.SPLITTING, Progress(), 0)
    assert batch.is_abandoned(iso(utc_now()))  # recovery splits it again
    assert scenario.batches.claim_split(batch, Claim("other", utc_now(), utc_now())).status is BatchStatus.SPLITTING
    assert [batch_id for batch_id, _ in scenario.batches.due(Kind.BATCH, utc_now())] == [batch_id]
    for line in (2, 3):
        assert not scenario.row(f"row_{line}").batch_row_closed
        scenario.batches.close_row(scenario.row(f"row_{line}"))
    closed = scenario.batches.get(batch_id)
    assert closed
    assert closed.rows_closed == 2


def test_index_attributes_are_built_anew_from_the_rows(scenario: RestoreScenario) -> None:
    scenario.payments.create(accepted(request("pay_open"), at=EARLIER, source="rest"))
    scenario.client.update_item(
        TableName=PAYMENTS.name,
        Key={"payment_id": {"S": "pay_open"}},
        UpdateExpression="SET unsettled = :old, status_day = :wrong REMOVE due_kind, due_at, created_day",
        ExpressionAttributeValues={":old": {"S": "yes"}, ":wrong": {"S": "failed#2020-01-01"}},
    )
    events = DynamoEventStore(scenario.client, GATEWAY_EVENTS.name)
    events.add(GatewayEvent("evt_1", "charge.refunded", "pay_open", "", iso(EARLIER), iso(EARLIER), EventState.PARKED))
    scenario.back_up()
    scenario.lose_all_tables()

    scenario.restore()

    (row,) = scenario.rows(PAYMENTS.name)
    assert row["status_day"] == {"S": "pending#2026-12-01"}
    assert row["created_day"] == {"S": "2026-12-01"}
    assert "unsettled" not in row
    later = utc_now() + timedelta(days=30)
    due = [payment_id for kind in (Kind.PENDING, Kind.LATE) for payment_id, _ in scenario.payments.due(kind, later)]
    assert due == ["pay_open"]
    assert [event_id for event_id, _ in events.due(Kind.EVENT, later)] == ["evt_1"]


def test_event_that_arrived_meanwhile_is_kept(scenario: RestoreScenario) -> None:
    events = DynamoEventStore(scenario.client, GATEWAY_EVENTS.name)
    old = GatewayEvent("evt_1", "charge.refunded", "pay_1", "", iso(EARLIER), iso(EARLIER), EventState.PARKED)
    events.add(replace(old, state=EventState.APPLIED))
    scenario.back_up()
    scenario.lose_all_tables()
    events.add(old)
    events.add(replace(old, event_id="evt_2"))

    scenario.restore()

    assert [events.get(event_id).state for event_id in ("evt_1", "evt_2")] == [EventState.PARKED] * 2  # type: ignore[union-attr]


def test_restore_overwrites_nothing(scenario: RestoreScenario) -> None:
    scenario.pay("pay_1")
    scenario.back_up()

    refused = scenario.restore(code=Exit.FAILED)

    assert "a restore overwrites nothing, and these tables have rows; nothing was written" in refused.stderr
    assert "payments" in refused.stderr
    assert scenario.breaker.state().is_open


def test_restored_environment_is_closed_and_its_executions_stopped(scenario: RestoreScenario) -> None:
    scenario.breaker.open("operator:me", EARLIER)
    scenario.back_up()
    scenario.lose_all_tables()
    running = scenario.executions.start_execution(stateMachineArn=scenario.machine, name="pay_1", input="{}")

    scenario.restore()

    assert not scenario.breaker.state().is_open
    assert scenario.executions.describe_execution(executionArn=running["executionArn"])["status"] == "ABORTED"
    mapping = boto3.client("lambda").get_event_source_mapping(UUID=scenario.mapping)
    assert mapping["State"] == "Disabled"


def test_stopped_restore_continues_and_another_is_refused(
    scenario: RestoreScenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    scenario.pay("pay_1")
    scenario.client.put_item(TableName=CUSTOMERS.name, Item={"customer_id": {"S": "cus_1"}})
    scenario.back_up()
    scenario.back_up("2026-12-02T03-00-00Z")
    scenario.lose_all_tables()
    put = DynamoRestoreTarget._put

    def stops(target: Any, table: str, rows: Any) -> None:
        if table == CUSTOMERS.name:
            raise KeyboardInterrupt
        put(target, table, rows)

    monkeypatch.setattr(DynamoRestoreTarget, "_put", stops)
    scenario.payctl("backup", "restore", STAMP, "--yes")
    monkeypatch.setattr(DynamoRestoreTarget, "_put", put)
    assert scenario.rows(CUSTOMERS.name) == []

    other = scenario.payctl("backup", "restore", "2026-12-02T03-00-00Z", "--yes")
    assert f"backup {STAMP} is being restored into these tables" in other.stderr
    answer = json.loads(scenario.restore("--json").stdout)

    assert answer["rows"]["payments"]["written"] == 0  # it was written before
    assert len(scenario.rows(CUSTOMERS.name)) == len(scenario.rows(PAYMENTS.name)) == 1
    again = scenario.payctl("backup", "restore", "2026-12-02T03-00-00Z", "--yes")
    assert f"backup {STAMP} was restored into these tables" in again.stderr


@pytest.mark.fault(79)
@pytest.mark.parametrize(("change", "text"), [("disable", "is Disabled"), ("delete", "is PendingDeletion")])
def test_restore_without_a_usable_key_refuses_before_it_writes(
    scenario: RestoreScenario, change: str, text: str
) -> None:
    scenario.pay("pay_1")
    scenario.back_up()
    scenario.lose_all_tables()
    kms, key_id = boto3.client("kms"), scenario.key.rpartition("/")[2]
    if change == "disable":
        kms.disable_key(KeyId=key_id)
    else:
        kms.schedule_key_deletion(KeyId=key_id)

    refused = scenario.restore(code=Exit.FAILED)

    assert "a key that the backup needs cannot be used; nothing was written" in refused.stderr
    assert text in refused.stderr
    assert scenario.rows(PAYMENTS.name) == []
    assert "restore" not in [row["control"]["S"] for row in scenario.rows(CONTROLS.name)]


def test_restore_of_a_changed_backup_refuses_before_it_writes(scenario: RestoreScenario) -> None:
    scenario.pay("pay_1")
    scenario.back_up()
    scenario.store.put(key_of(STAMP, "payments/part-00-run1-00000.jsonl.gz"), b"changed")
    scenario.lose_all_tables()

    refused = scenario.restore(code=Exit.FAILED)

    assert "does not verify; nothing was written" in refused.stderr
    assert scenario.rows(AUDIT_LOG.name) == []


def test_backup_of_another_environment_is_refused(scenario: RestoreScenario, tmp_path: Path) -> None:
    scenario.back_up()
    other = payctl_with(
        tmp_path,
        backup_bucket="backups",
        tokens_table="payment-tokens",
        denied_table="payment-denied-attempts",
        environment_id="another",
        dispatch_mapping_id="",
    )

    refused = other("backup", "restore", STAMP, "--yes")

    assert refused.exit_code == Exit.FAILED
    assert "this is a backup of the environment test (0123456789abcdef)" in refused.stderr
