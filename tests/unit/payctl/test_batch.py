"""payctl batch, on moto: the bucket and the processing-status table as the functions write them."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import Any

import boto3
import pytest

from payctl import batch_files, batch_view
from payctl.failures import Exit
from payctl.stack import Stack
from payments.adapters.dynamodb.batch_breaker import DynamoBreakerStore
from payments.adapters.dynamodb.batches import DynamoBatchStore
from payments.adapters.dynamodb.tables import CONTROLS, PAYMENTS, PROCESSING_STATUS
from payments.adapters.lambda_functions import FunctionStarter
from payments.domain.batch.errors import CellError, RejectedRow
from payments.domain.batch.report import ReportProgress, ResultFile
from payments.domain.batch.state import Batch, BatchStatus, Progress, Source
from payments.domain.batch_breaker import PausedBy
from payments.domain.clock import iso
from payments.ports.batch_store import Claim
from tests.moto_tables import aws_in_memory, create_table
from tests.unit.builders import NOON
from tests.unit.payctl.scenarios import OUTPUTS, Payctl, payctl_with

BUCKET = OUTPUTS["batch_bucket"]
REFUSED = RejectedRow(3, "pay_2", (CellError(3, "amount", "'1.5'", "JPY has no decimals", "write 2"),))


@dataclass
class BatchScenario:
    """The bucket and the tables, and payctl on them."""

    s3: Any
    store: DynamoBatchStore
    payctl: Payctl

    def ended(self, source: Source, *, by_older_code: bool = False, **by_status: int) -> None:
        """Write a batch as the functions do: row 3 rejected, all others with an outcome."""
        accepted = sum(by_status.values())
        claim = Claim("me", NOON, NOON + timedelta(minutes=1))
        self.store.claim_split(Batch(source.batch_id, source, BatchStatus.SPLITTING, iso(NOON), iso(NOON)), claim)
        self.store.add_rows(source.batch_id, [REFUSED])
        progress = Progress(line=9, rows_read=accepted + 1, rows_accepted=accepted, rows_rejected=1)
        self.store.finish_split(source.batch_id, "me", progress, NOON)
        self.store.claim_report(source.batch_id, claim)
        results = {}
        for name in batch_files.RESULT_FILES:
            key = f"results/{source.file}/{name}" if by_older_code else source.result_key(name)
            version_id = self.s3.put_object(Bucket=BUCKET, Key=key, Body=name.encode())["VersionId"]
            self.s3.put_object(Bucket=BUCKET, Key=source.result_key(name), Body=b"a later version")
            results[name] = ResultFile(key, version_id)
        if not by_older_code:
            self.store.save_report(source.batch_id, "me", ReportProgress(9, by_status, results=results))
        self.store.complete(source.batch_id, "me", BatchStatus.COMPLETED, by_status, NOON)

    def uploaded(self, name: str = "payroll.csv", content: bytes = b"payment_id,amount,currency\n") -> Source:
        """A file uploaded without payctl."""
        answer = self.s3.put_object(Bucket=BUCKET, Key=f"incoming/{name}", Body=content)
        return Source(BUCKET, f"incoming/{name}", answer["VersionId"], answer["ETag"].strip('"'), len(content))


@pytest.fixture
def scenario(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[BatchScenario]:
    monkeypatch.setattr(batch_view, "POLL_SECONDS", 0.01)
    with aws_in_memory():
        s3 = boto3.client("s3")
        s3.create_bucket(Bucket=BUCKET)
        s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
        dynamodb = create_table(PROCESSING_STATUS)
        create_table(PAYMENTS)
        create_table(CONTROLS)
        yield BatchScenario(
            s3, DynamoBatchStore(dynamodb, PROCESSING_STATUS.name, PAYMENTS.name), payctl_with(tmp_path)
        )


@pytest.fixture
def csv_file(tmp_path: Path) -> Path:
    path = tmp_path / "payroll.csv"
    path.write_text("payment_id,amount,currency\npay_1,1.00,USD\n")
    return path


def test_upload_when_done_then_names_the_batch_that_the_splitter_will_make(
    scenario: BatchScenario, csv_file: Path
) -> None:
    printed = json.loads(scenario.payctl("batch", "upload", str(csv_file), "--json").stdout)
    versions = scenario.s3.list_object_versions(Bucket=BUCKET, Prefix="incoming/")["Versions"]
    assert [version["Key"] for version in versions] == ["incoming/payroll.csv"]
    source = Source(BUCKET, "incoming/payroll.csv", versions[0]["VersionId"], "", 0)
    assert printed == {"batch_id": source.batch_id, "bucket": BUCKET, "key": source.key}
    stored = scenario.s3.get_object(Bucket=BUCKET, Key="incoming/payroll.csv")["Body"].read()
    assert stored == csv_file.read_bytes()


def test_upload_when_the_file_is_missing_then_exits_2(scenario: BatchScenario) -> None:
    assert scenario.payctl("batch", "upload", "no-such.csv").exit_code == Exit.USAGE


def test_upload_watch_says_where_to_look_when_the_split_never_starts(
    scenario: BatchScenario, csv_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch_view, "START_SECONDS", 0.05)
    result = scenario.payctl("batch", "upload", str(csv_file), "--watch")
    assert result.exit_code == Exit.STILL_OPEN
    assert "payment-split-test" in result.stderr


def test_show_when_completed_then_shows_totals_refusals_and_result_files(scenario: BatchScenario) -> None:
    source = scenario.uploaded()
    scenario.ended(source, succeeded=4, declined=1)
    shown = scenario.payctl("batch", "show", source.batch_id)
    assert shown.exit_code == Exit.NOT_CHARGED
    for text in ("completed", "succeeded", "JPY has no decimals", "write 2", "/errors.csv"):
        assert text in shown.stdout


def test_show_when_json_then_gives_the_counts(scenario: BatchScenario) -> None:
    source = scenario.uploaded()
    scenario.ended(source, succeeded=4, declined=1)
    shown = json.loads(scenario.payctl("batch", "show", source.batch_id, "--json").stdout)
    assert (shown["rows_read"], shown["rows_accepted"], shown["rows_rejected"]) == (6, 5, 1)
    assert shown["by_status"] == {"succeeded": 4, "declined": 1}
    assert shown["results"]["errors.csv"] == f"results/payroll.csv/{source.batch_id}/errors.csv"
    version = scenario.s3.get_object(
        Bucket=BUCKET, Key=shown["results"]["errors.csv"], VersionId=shown["result_versions"]["errors.csv"]
    )
    assert version["Body"].read() == b"errors.csv"


@pytest.mark.fault(68)
@pytest.mark.parametrize("by_older_code", [False, True])
def test_show_when_watched_to_the_end_then_downloads_the_result_files(
    scenario: BatchScenario, tmp_path: Path, by_older_code: bool
) -> None:
    source = scenario.uploaded()
    scenario.ended(source, by_older_code=by_older_code, succeeded=1)
    folder = tmp_path / "new" / "results"
    result = scenario.payctl("batch", "show", source.batch_id, "--download", str(folder))
    assert result.exit_code == Exit.NOT_CHARGED  # a row was refused
    assert sorted(path.name for path in folder.iterdir()) == sorted(batch_files.RESULT_FILES)
    assert (folder / "errors.csv").read_text() == "errors.csv"


@pytest.mark.parametrize("options", [(), ("--watch",)])
def test_show_when_a_payment_may_be_charged_then_exits_7(scenario: BatchScenario, options: tuple[str, ...]) -> None:
    source = scenario.uploaded()
    scenario.ended(source, succeeded=1, declined=1, in_review=1)
    assert scenario.payctl("batch", "show", source.batch_id, *options).exit_code == Exit.NOT_SETTLED


def test_show_when_watched_and_still_working_then_exits_4(scenario: BatchScenario) -> None:
    source = scenario.uploaded()
    claim = Claim("me", NOON, NOON + timedelta(minutes=1))
    batch = Batch(source.batch_id, source, BatchStatus.SPLITTING, iso(NOON), iso(NOON))
    scenario.store.claim_split(batch, claim)
    result = scenario.payctl("batch", "show", source.batch_id, "--watch", "--timeout", "0.05")
    assert result.exit_code == Exit.STILL_OPEN
    assert f"gave up waiting for the result files of batch {source.batch_id}: no progress for 0.05 s" in result.stderr
    assert "the last was splitting, 0 of 0 rows" in result.stderr
    assert f"payctl batch show {source.batch_id} --watch" in result.stderr


def test_watch_takes_a_check_by_recovery_for_no_progress(
    scenario: BatchScenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, checks = scenario.uploaded(), count()

    def checked(stack: Stack, batch_id: str) -> Batch:
        return Batch(batch_id, source, BatchStatus.PROCESSING, iso(NOON), f"check {next(checks)}")

    monkeypatch.setattr(batch_files, "get", checked)
    result = scenario.payctl("batch", "show", source.batch_id, "--watch", "--timeout", "0.05")
    assert result.exit_code == Exit.STILL_OPEN


def test_show_when_unknown_then_exits_1(scenario: BatchScenario) -> None:
    result = scenario.payctl("batch", "show", "no-such-batch")
    assert result.exit_code == Exit.FAILED
    assert "payctl batch list" in result.stderr


def test_list_when_there_are_files_then_shows_each_version_newest_first(scenario: BatchScenario) -> None:
    first, second = scenario.uploaded(), scenario.uploaded()
    scenario.ended(first, succeeded=1)
    listed = json.loads(scenario.payctl("batch", "list", "--json").stdout)
    assert {batch["batch_id"]: batch["status"] for batch in listed} == {
        first.batch_id: "completed",
        second.batch_id: None,
    }
    assert "not started" in scenario.payctl("batch", "list").stdout
    assert len(json.loads(scenario.payctl("batch", "list", "--limit", "1", "--json").stdout)) == 1


def test_rejected_rows_when_there_are_more_than_shown_then_counts_the_rest(
    scenario: BatchScenario, tmp_path: Path
) -> None:
    source = scenario.uploaded()
    scenario.ended(source, succeeded=1)
    batch = scenario.store.get(source.batch_id)
    assert batch
    stack = Stack(OUTPUTS, tmp_path)
    assert batch_files.rejected_rows(stack, batch, limit=0) == ([], 1)
    assert batch_files.rejected_rows(stack, batch, limit=5) == ([REFUSED], 0)


# Pause, resume and cancel ---------------------------------------------------------------------------------------------


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Any]]:
    """The functions that payctl starts: moto runs none."""
    found: list[tuple[str, Any]] = []
    monkeypatch.setattr(FunctionStarter, "__call__", lambda self, event: found.append((self._function_name, event)))
    return found


def processing(scenario: BatchScenario, rows: int = 4) -> str:
    """A batch whose file is read. Returns its id."""
    source = scenario.uploaded()
    claim = Claim("me", NOON, NOON + timedelta(minutes=1))
    scenario.store.claim_split(Batch(source.batch_id, source, BatchStatus.SPLITTING, iso(NOON), iso(NOON)), claim)
    progress = Progress(line=rows + 1, rows_read=rows, rows_accepted=rows)
    scenario.store.finish_split(source.batch_id, "me", progress, NOON)
    return source.batch_id


def test_batch_when_paused_then_show_and_watch_say_so_until_resumed(scenario: BatchScenario) -> None:
    batch_id = processing(scenario)
    printed = json.loads(scenario.payctl("batch", "pause", batch_id, "--json").stdout)
    assert (printed["switch"]["state"], printed["switch"]["by"]) == ("paused", "operator:moto")
    held = f"paused by operator:moto since {printed['switch']['at']}; resume it with: payctl batch resume {batch_id}"
    assert printed["held"] == held
    assert held in scenario.payctl("batch", "show", batch_id).stdout
    watched = scenario.payctl("batch", "show", batch_id, "--watch", "--timeout", "0.05")
    assert (watched.exit_code, held in watched.stderr) == (Exit.STILL_OPEN, True)
    assert scenario.payctl("batch", "resume", batch_id).exit_code == Exit.DONE
    assert json.loads(scenario.payctl("batch", "show", batch_id, "--json").stdout)["held"] == ""


def test_batch_when_the_breaker_is_paused_then_show_says_so(scenario: BatchScenario) -> None:
    batch_id = processing(scenario)
    breaker = DynamoBreakerStore(boto3.client("dynamodb"), OUTPUTS["controls_table"])
    breaker.pause(PausedBy.GATEWAY, "key_refused: no", NOON)
    shown = scenario.payctl("batch", "show", batch_id).stdout
    assert f"the batch breaker has been paused since {iso(NOON)} (key_refused: no)" in shown


def test_batch_when_canceled_then_its_rows_are_ended_at_once(
    scenario: BatchScenario, started: list[tuple[str, Any]]
) -> None:
    batch_id = processing(scenario)
    result = scenario.payctl("batch", "cancel", batch_id, "--yes")
    assert result.exit_code == Exit.DONE, result.output
    assert started == [("payment-report-test", {"batch_id": batch_id})]
    assert "canceled by operator:moto" in result.stdout
    assert scenario.store.switch_of(batch_id).is_canceled
    refused = scenario.payctl("batch", "resume", batch_id)
    assert (refused.exit_code, "is canceled: this is final" in refused.stderr) == (Exit.FAILED, True)


def test_batch_when_canceled_and_watched_then_it_waits_for_the_end(
    scenario: BatchScenario, started: list[tuple[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    batch_id = processing(scenario)

    def ended(_: FunctionStarter, event: dict[str, str]) -> None:
        scenario.store.claim_report(event["batch_id"], Claim("r", NOON, NOON + timedelta(minutes=1)))
        scenario.store.complete(event["batch_id"], "r", BatchStatus.CANCELED, {"rejected": 4}, NOON)

    monkeypatch.setattr(FunctionStarter, "__call__", ended)
    result = scenario.payctl("batch", "cancel", batch_id, "--yes", "--watch", "--json")
    assert result.exit_code == Exit.DONE, result.output
    printed = json.loads(result.stdout)
    assert (printed["status"], printed["by_status"]) == ("canceled", {"rejected": 4})


def test_batch_cancel_watched_without_progress_exits_4(scenario: BatchScenario, started: list[tuple[str, Any]]) -> None:
    result = scenario.payctl("batch", "cancel", processing(scenario), "--yes", "--watch", "--timeout", "0.05")
    assert result.exit_code == Exit.STILL_OPEN


def test_batch_cancel_without_yes_or_a_terminal_changes_nothing(scenario: BatchScenario) -> None:
    batch_id = processing(scenario)
    assert scenario.payctl("batch", "cancel", batch_id).exit_code == Exit.USAGE
    assert not scenario.store.switch_of(batch_id).holds


def test_batch_that_is_unknown_or_reported_is_not_switched(scenario: BatchScenario) -> None:
    source = scenario.uploaded()
    assert "there is no batch" in scenario.payctl("batch", "pause", source.batch_id).stderr
    scenario.ended(source, succeeded=1)
    refused = scenario.payctl("batch", "pause", source.batch_id)
    assert "is completed: every payment of it has an outcome" in refused.stderr
