"""The report: every accepted row in one result, every other in a precise error, one event."""

import csv
import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

import pytest

from fakes.batch_files import MemoryBatchFiles
from fakes.batches import MemoryBatchStore
from fakes.customers import MemoryCustomerStore
from fakes.field_encryptor import MemoryFieldEncryptor
from fakes.payment_queue import MemoryPaymentQueue
from fakes.payments import MemoryPaymentStore
from payments.application.batch import report, result_files
from payments.application.batch.close_rows import BatchRows
from payments.application.batch.report import RESERVE_SECONDS, IndexBehind, Reporter
from payments.application.batch.result_files import ERRORS, RESUBMIT, RESULTS
from payments.application.batch.row_rules import rules_of
from payments.application.batch.split import Splitter
from payments.application.id_rules import IdRules
from payments.domain.batch.errors import CellError, RejectedRow
from payments.domain.batch.report import ResultFile
from payments.domain.batch.state import Batch, BatchStatus, Progress, Source
from payments.domain.batch.switch import Switch, SwitchState
from payments.domain.clock import iso
from payments.domain.merchants import Merchants
from payments.domain.money import Money
from payments.domain.payment import Payment, PaymentRequest, accepted, moved
from payments.domain.retry import RETRY_REFUSED, retried, retry_id_of
from payments.domain.sealed_text import REFERENCE
from payments.domain.statuses import Status
from payments.ports.batch_files import UploadLost
from payments.ports.batch_store import Claim
from payments.ports.field_encryptor import EncryptionUnavailable
from tests.unit.builders import batch_payment

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


class LaggingIndex(MemoryPaymentStore):
    """A payments table whose index by batch is behind for some reads, as a real one may be."""

    def __init__(self) -> None:
        super().__init__()
        self.old_views: list[list[Payment]] = []

    def of_batch(self, batch_id: str, after: int = 0) -> Iterator[Payment]:
        """Return the next old view, or the table's content when none is left."""
        return iter(self.old_views.pop(0)) if self.old_views else super().of_batch(batch_id, after)


@dataclass
class ReportScenario:
    payments: LaggingIndex = field(default_factory=LaggingIndex)
    files: MemoryBatchFiles = field(default_factory=MemoryBatchFiles)
    events: list[dict[str, Any]] = field(default_factory=list)
    slept_seconds: list[float] = field(default_factory=list)
    encryptor: MemoryFieldEncryptor = field(default_factory=MemoryFieldEncryptor)
    seconds_left: Callable[[], float] = lambda: 900.0

    def __post_init__(self) -> None:
        self.batches = MemoryBatchStore(self.payments)
        self.rows = BatchRows(self.batches, lambda batch_id: None)
        self.reporter = Reporter(
            payments=self.payments,
            batches=self.batches,
            files=self.files,
            publish=self.events.append,
            clock=lambda: NOW,
            sleep=self.slept_seconds.append,
            encryptor=self.encryptor,
        )

    def split(self, content: bytes, key: str = "incoming/2026/payroll.csv", version_id: str = "v1") -> Source:
        source = self.files.upload(key, content, version_id)
        splitter = Splitter(
            payments=self.payments,
            batches=self.batches,
            queue=MemoryPaymentQueue(),
            files=self.files,
            rows=self.rows,
            continue_later=lambda source: None,
            rules_of=partial(rules_of, ids=IdRules(Merchants(), self.payments, MemoryCustomerStore())),
            clock=lambda: NOW,
            workers=2,
        )
        splitter.split(source, owner="split", seconds_left=lambda: 900)
        return source

    def end(self, payment_id: str, status: Status, code: str = "", message: str = "") -> None:
        payment = self.payments.rows[payment_id]
        if status is not Status.REJECTED:
            payment = moved(payment, Status.PROCESSING, at=NOW, actor="test")
            self.payments.save(payment)
        payment = moved(payment, status, at=NOW, actor="test", code=code, message=message, gateway_reference="pi_1")
        self.payments.save(payment)
        self.rows.close(payment)

    def seal_reference(self, payment_id: str, reference: str) -> None:
        """Store the reference as code from before did."""
        texts = self.encryptor.seal_every({"payment_id": payment_id}, {REFERENCE: reference})
        self.payments.rows[payment_id] = replace(self.payments.rows[payment_id], gateway_reference=texts[REFERENCE])

    def report(self, source: Source, owner: str = "report") -> Batch | None:
        return self.reporter.report(source.batch_id, owner=owner, seconds_left=self.seconds_left)

    def text_of(self, name: str, source: Source) -> bytes:
        batch = self.batches.get(source.batch_id)
        assert batch
        return self.files.versions[batch.result_file(name)]

    def rows_of(self, name: str, source: Source) -> list[dict[str, str]]:
        return list(csv.DictReader(io.StringIO(self.text_of(name, source).decode(), newline="")))


GOOD_AND_BAD = (
    b"payment_id,amount,currency,description\n"
    b"p1,1.50,USD,one\n"
    b"p2,2,JPY,two\n"
    b"bad,-1,USD,=cmd()\n"
    b"p3,3,USD,three\n"
    b'p4,4,USD,"open\n'
    b"p1,1,USD,again\n"
    b"p5,5,USD,4242 4242 4242 4242\n"
    b"rest,7,USD,seven\n"
    b"p6,6,USD,M\xfcller\n"
)


def finished_world() -> tuple[ReportScenario, Source]:
    scenario = ReportScenario()
    rest = PaymentRequest("rest", Money(700, "USD"), description="seven")
    scenario.payments.create(accepted(rest, at=NOW, source="rest"))
    source = scenario.split(GOOD_AND_BAD)
    scenario.end("p1", Status.SUCCEEDED)
    scenario.end("p2", Status.DECLINED, "insufficient_funds", "the card has insufficient funds")
    scenario.end("p3", Status.REJECTED, "no_payment_method", "the payment has no payment method")
    scenario.end("rest", Status.SUCCEEDED)
    return scenario, source


def test_results_have_exactly_one_line_for_each_accepted_row() -> None:
    scenario, source = finished_world()
    scenario.report(source)
    results = scenario.rows_of("results.csv", source)
    assert [(row["line"], row["payment_id"], row["amount"], row["currency"], row["status"]) for row in results] == [
        ("2", "p1", "1.50", "USD", "succeeded"),
        ("3", "p2", "2", "JPY", "declined"),
        ("5", "p3", "3.00", "USD", "rejected"),
        ("9", "rest", "7.00", "USD", "succeeded"),
    ]
    assert results[1]["code"] == "insufficient_funds"
    assert results[1]["reason"] == "the card has insufficient funds"
    assert results[0]["gateway_reference"] == "pi_1"
    assert [row["already_submitted"] for row in results] == ["", "", "", "over rest"]


def test_errors_state_line_column_reason_and_what_to_do() -> None:
    scenario, source = finished_world()
    scenario.report(source)
    errors = scenario.rows_of("errors.csv", source)
    assert [(row["line"], row["column"], row["payment_id"]) for row in errors] == [
        ("4", "amount", "bad"),
        ("5", "", "p3"),
        ("6", "", ""),
        ("7", "payment_id", "p1"),
        ("8", "description", "p5"),
        ("10", "description", "p6"),
    ]
    assert errors[0]["value"] == "'-1'"
    assert errors[1]["reason"] == "the payment has no payment method"
    assert all(row["reason"] and row["what_to_do"] for row in errors)


def test_resubmit_file_keeps_rejected_rows_but_without_card_numbers() -> None:
    scenario, source = finished_world()
    scenario.report(source)
    resubmit = scenario.text_of("resubmit.csv", source)
    assert resubmit.decode("latin-1").splitlines() == [
        "payment_id,amount,currency,description",
        "bad,-1,USD,'=cmd()",
        'p4,4,USD,"""open"',
        "p1,1,USD,again",
        "p5,5,USD,[card number removed]",
        "p6,6,USD,Müller",
    ]
    assert b"4242" not in b"".join(scenario.files.results.values())


@pytest.mark.fault(90)
def test_failed_row_when_reported_then_resubmitted_under_its_retrys_id() -> None:
    scenario = ReportScenario()
    long = "x" * 62
    rows = f"amount,payment_id,currency\n1,p1,USD\n2,p2_r2,USD\n-3,p3,USD\n4,{long},USD\n5,p5,USD\n"
    source = scenario.split(rows.encode())
    for payment_id in ("p1", "p2_r2", long):
        scenario.end(payment_id, Status.FAILED, "gateway_unreachable", "no connection could be made")
    scenario.end("p5", Status.REJECTED, RETRY_REFUSED, "it is a retry")
    scenario.report(source)
    assert scenario.text_of("resubmit.csv", source).decode().splitlines() == [
        "amount,payment_id,currency",
        "1,p1_r2,USD",
        "2,p2_r3,USD",
        "-3,p3,USD",
        f"4,{retry_id_of(long)},USD",
    ]
    assert scenario.batches.former_of(retry_id_of(long)) == long
    assert scenario.batches.former_of("p1_r2") == ""  # the id tells
    first, second, _, cut, refused = scenario.rows_of("errors.csv", source)
    assert (first["payment_id"], first["reason"]) == ("p1", "no connection could be made")
    assert "p1_r2, or send it again with payctl payment retry p1" in first["what_to_do"]
    assert "p2_r3" in second["what_to_do"]
    assert retry_id_of(long) in cut["what_to_do"]
    assert "do not pay it under another" in refused["what_to_do"]


@pytest.mark.fault(90)
def test_resubmitted_failed_row_is_the_payment_that_a_retry_stores() -> None:
    scenario = ReportScenario()
    source = scenario.split(b"payment_id,amount,currency,description\np1,1.5,USD,one\n")
    scenario.end("p1", Status.FAILED)
    scenario.report(source)
    scenario.payments.create(retried(scenario.payments.rows["p1"], by="admin:jo", at=NOW, correlation_id=""))
    again = scenario.split(scenario.text_of("resubmit.csv", source), "incoming/again.csv")
    batch = scenario.batches.get(again.batch_id)
    assert batch
    assert (batch.progress.rows_accepted, batch.progress.already_submitted) == (1, 1)


def test_event_when_reported_then_its_totals_agree_with_the_files() -> None:
    scenario, source = finished_world()
    batch = scenario.report(source)
    assert batch
    assert batch.status is BatchStatus.COMPLETED
    assert batch.by_status == {"succeeded": 2, "declined": 1, "rejected": 1}
    (event,) = scenario.events
    assert (event["event_type"], event["event"], event["status"]) == ("batch", "batch.completed", "completed")
    assert (event["rows_read"], event["accepted"], event["rejected"], event["already_submitted"]) == (9, 4, 5, 1)
    assert sum(event["by_status"].values()) == event["accepted"] == len(scenario.rows_of("results.csv", source))
    assert event["file"] == "2026/payroll.csv"
    assert set(event["results"].values()) == set(scenario.files.results)


def test_report_when_asked_twice_then_one_event_goes_out() -> None:
    scenario, source = finished_world()
    assert scenario.report(source)
    assert scenario.report(source, "another") is None
    assert len(scenario.events) == 1


def test_report_when_payments_are_still_under_way_then_nothing_is_written() -> None:
    scenario = ReportScenario()
    source = scenario.split(b"payment_id,amount,currency\np1,1,USD\n")
    assert scenario.report(source) is None
    assert scenario.files.results == {}
    scenario.end("p1", Status.SUCCEEDED)
    assert scenario.report(source)


def test_report_of_a_refused_file_rejects_the_batch_with_its_errors() -> None:
    scenario = ReportScenario()
    source = scenario.split(b"payment_id;amount;currency\n")
    batch = scenario.report(source)
    assert batch
    assert batch.status is BatchStatus.REJECTED
    (event,) = scenario.events
    assert event["event"] == "batch.rejected"
    assert "separated by ';'" in event["reasons"][0]
    (error,) = scenario.rows_of("errors.csv", source)
    assert (error["line"], error["what_to_do"]) == ("1", "separate cells by commas")
    assert scenario.rows_of("results.csv", source) == []


def test_report_when_the_index_lacks_rows_then_it_waits_for_them() -> None:
    scenario, source = finished_world()
    scenario.payments.old_views = [[], list(scenario.payments.of_batch(source.batch_id))[:2]]
    assert scenario.report(source)
    assert scenario.slept_seconds == [1, 2]
    assert len(scenario.rows_of("results.csv", source)) == 4


def test_report_reads_the_row_itself_when_the_index_shows_an_old_status() -> None:
    scenario, source = finished_world()
    old = [
        replace(payment, status=Status.PROCESSING, batch_row_closed=False)
        for payment in scenario.payments.of_batch(source.batch_id)
    ]
    scenario.payments.old_views = [old]
    scenario.report(source)
    assert [row["status"] for row in scenario.rows_of("results.csv", source)] == [
        "succeeded",
        "declined",
        "rejected",
        "succeeded",
    ]


def test_report_fails_when_the_index_stays_behind_and_a_retry_succeeds() -> None:
    scenario, source = finished_world()
    scenario.payments.old_views = [[] for _ in range(6)]
    with pytest.raises(IndexBehind):
        scenario.report(source)
    assert scenario.events == []
    assert scenario.report(source)
    assert len(scenario.events) == 1


def test_report_retried_after_the_event_was_sent_repeats_the_same_event(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    scenario, source = finished_world()

    def crash(*arguments: object) -> None:
        raise ConnectionError

    with monkeypatch.context() as broken:
        broken.setattr(scenario.batches, "complete", crash)
        with pytest.raises(ConnectionError):
            scenario.report(source)
    scenario.report(source)
    first, again = scenario.events
    assert first == again


def test_report_of_the_same_file_again_says_where_payments_came_from() -> None:
    scenario, first = finished_world()
    scenario.report(first)
    again = scenario.split(GOOD_AND_BAD, version_id="v2")
    batch = scenario.report(again)
    assert batch
    assert (batch.progress.rows_accepted, batch.progress.already_submitted) == (4, 4)
    results = scenario.rows_of("results.csv", again)
    assert results[0]["already_submitted"] == f"of batch {first.batch_id} line 2"
    assert [row["status"] for row in results] == ["succeeded", "declined", "rejected", "succeeded"]


def test_resubmit_file_uploaded_unchanged_rejects_only_rows_still_wrong() -> None:
    scenario, source = finished_world()
    scenario.report(source)
    resubmit = scenario.text_of("resubmit.csv", source)
    batch = scenario.batches.get(scenario.split(resubmit, "incoming/again.csv").batch_id)
    assert batch
    # without the card number and with the quote corrected, two rows are valid; the repeated id is still taken
    assert (batch.progress.rows_accepted, batch.progress.rows_rejected) == (2, 3)


def test_results_show_sealed_references_in_plain_text() -> None:
    scenario, source = finished_world()
    for payment_id in ("p1", "rest"):
        scenario.seal_reference(payment_id, f"pi_of_{payment_id}")

    scenario.report(source)

    references = {row["payment_id"]: row["gateway_reference"] for row in scenario.rows_of("results.csv", source)}
    assert (references["p1"], references["rest"]) == ("pi_of_p1", "pi_of_rest")


# A run that is stopped: the next one continues ---------------------------------------------------------------------


class Killed(BaseException):
    """Lambda ends the function here."""


def many_rows(count: int = 60) -> tuple[ReportScenario, Source]:
    """A batch with results, errors of both kinds and rows to resubmit, in parts of a few rows."""
    scenario = ReportScenario(files=MemoryBatchFiles(4096, least_part_bytes=PART))
    lines = [f"p{n},{'-1' if n % 5 == 0 else n},USD" for n in range(1, count)]
    source = scenario.split("\n".join(["payment_id,amount,currency", *lines, ""]).encode())
    for n in range(1, count):
        if n % 5:
            scenario.end(
                f"p{n}", Status.REJECTED if n % 7 == 0 else Status.SUCCEEDED, message="no" if n % 7 == 0 else ""
            )
    return scenario, source


PART = 300


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(result_files, "PART_BYTES", PART)


def texts(scenario: ReportScenario, source: Source) -> list[bytes]:
    return [scenario.text_of(name, source) for name in ("results.csv", "errors.csv", "resubmit.csv")]


def undisturbed() -> list[bytes]:
    scenario, source = many_rows()
    scenario.report(source)
    return texts(scenario, source)


@pytest.mark.fault(63)
def test_report_out_of_time_after_each_row_continues_after_its_line(small_parts: None) -> None:
    scenario, source = many_rows()
    scenario.seconds_left = lambda: RESERVE_SECONDS - 1
    lines: list[int] = []
    while (batch := scenario.report(source, f"run {len(lines)}")) and batch.status is BatchStatus.REPORTING:
        lines.append(batch.report.line)
        assert batch.is_abandoned("2026-11-21T12:00:00.000Z")  # recovery starts the next run at once

    assert lines == list(range(2, 61))
    assert texts(scenario, source) == undisturbed()
    assert scenario.files.parts_uploaded > 10
    assert len(scenario.events) == 1


@pytest.mark.fault(63)
@pytest.mark.parametrize("effect", ["add_part", "save_tails", "finish", "save_report", "publish", "complete"])
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_report_killed_at_any_effect_is_resumed(
    small_parts: None, monkeypatch: pytest.MonkeyPatch, effect: str, after: bool
) -> None:
    monkeypatch.setattr(report, "CHECKPOINT_SECONDS", 0)
    scenario, source = many_rows()
    kills = iter([True, False, True, *[False] * 1000])

    def killed_sometimes(call: Callable[..., Any]) -> Callable[..., Any]:
        def run(*arguments: Any, **options: Any) -> Any:
            if not (kill := next(kills)) or after:
                result = call(*arguments, **options)
            if kill:
                raise Killed
            return result

        return run

    place: Any = {"publish": scenario.reporter, "save_report": scenario.batches, "complete": scenario.batches}.get(
        effect, scenario.files
    )
    object.__setattr__(place, effect, killed_sometimes(getattr(place, effect)))
    killed = 0
    for _ in range(3):
        try:
            scenario.report(source)  # Lambda retries under the same request id
        except Killed:
            killed += 1

    assert killed
    assert texts(scenario, source) == undisturbed()
    assert {event["event_id"] for event in scenario.events} == {source.batch_id}
    assert all(event == scenario.events[0] for event in scenario.events)


@pytest.mark.fault(63)
def test_report_reads_no_row_again_that_a_checkpoint_holds(small_parts: None) -> None:
    scenario, source = many_rows()
    scenario.seconds_left = iter([900.0] * 42 + [0.0]).__next__
    batch = scenario.report(source)
    assert batch
    assert batch.report.line == 42
    read: list[int] = []
    of_batch = scenario.payments.of_batch

    def watched(batch_id: str, after: int = 0) -> Iterator[Payment]:
        for payment in of_batch(batch_id, after):
            read.append(payment.batch_line)
            yield payment

    scenario.payments.of_batch = watched  # type: ignore[method-assign]
    scenario.seconds_left = lambda: 900.0
    scenario.report(source)

    assert min(read) > 42
    assert texts(scenario, source) == undisturbed()


@pytest.mark.fault(63)
def test_report_begins_anew_when_another_run_replaced_a_part(small_parts: None) -> None:
    scenario, source = many_rows()
    scenario.seconds_left = lambda: RESERVE_SECONDS - 1
    while not scenario.files.parts_uploaded:
        scenario.report(source)
    (parts,) = scenario.files.unfinished.values()
    parts[1] = b"of another run"
    scenario.seconds_left = lambda: 900.0
    with pytest.raises(UploadLost):
        scenario.report(source)
    scenario.report(source, "the next")
    assert texts(scenario, source) == undisturbed()


@pytest.mark.fault(63)
def test_report_asks_the_key_only_for_rows_from_before() -> None:
    scenario, source = many_rows()
    scenario.report(source)
    assert scenario.encryptor.calls == 0


def test_report_keeps_at_most_one_part_of_each_file_in_memory(small_parts: None) -> None:
    scenario, source = many_rows(2000)
    held: list[int] = []
    add = report._add

    def watched(files: result_files.ResultFiles, *arguments: Any) -> None:
        held.append(len(files.tails()))
        add(files, *arguments)

    with pytest.MonkeyPatch.context() as watching:
        watching.setattr(report, "_add", watched)
        scenario.report(source)
    assert max(held) < 3 * (PART + 100)


# Two uploads under one key -------------------------------------------------------------------------------------------


@pytest.mark.fault(68)
def test_two_uploads_under_one_key_have_results_of_their_own() -> None:
    scenario = ReportScenario()
    first, second = (
        scenario.split(f"payment_id,amount,currency\n{version},1,USD\n".encode(), version_id=version)
        for version in ("v1", "v2")
    )
    for version, source in (("v1", first), ("v2", second)):
        scenario.end(version, Status.SUCCEEDED)
        scenario.report(source)

    assert [row["payment_id"] for row in scenario.rows_of("results.csv", first)] == ["v1"]
    assert [row["payment_id"] for row in scenario.rows_of("results.csv", second)] == ["v2"]
    assert scenario.events[0]["results"]["results.csv"] == f"results/2026/payroll.csv/{first.batch_id}/results.csv"
    assert len(scenario.files.results) == 6
    assert all(scenario.events[0]["result_versions"].values())


@pytest.mark.fault(68)
def test_result_file_that_older_code_wrote_is_found_under_its_key() -> None:
    source = Source("bucket", "incoming/2026/payroll.csv", "v1", "", 1)
    batch = Batch(source.batch_id, source, BatchStatus.COMPLETED, "", "")
    assert batch.result_file("errors.csv") == ResultFile("results/2026/payroll.csv/errors.csv")


@pytest.mark.fault(45)
def test_report_fails_without_files_until_a_disabled_key_is_enabled() -> None:
    scenario, source = finished_world()
    scenario.seal_reference("p1", "pi_1")
    scenario.encryptor.available = False
    with pytest.raises(EncryptionUnavailable):
        scenario.report(source)
    assert (scenario.files.results, scenario.events) == ({}, [])

    scenario.encryptor.available = True
    scenario.report(source)

    assert {row["gateway_reference"] for row in scenario.rows_of("results.csv", source)} == {"pi_1"}


def test_report_of_a_canceled_file_says_from_which_line_it_was_not_read() -> None:
    scenario = ReportScenario()
    source = scenario.files.upload(
        "incoming/a.csv", b"payment_id,amount,currency\np1,1,USD\nbad,-1,USD\np2,1,USD\n", "v1"
    )
    new = Batch(source.batch_id, source, BatchStatus.SPLITTING, iso(NOW), iso(NOW))
    batch = scenario.batches.claim_split(new, Claim("split", NOW, NOW))
    scenario.payments.create(batch_payment("p1", 2, source.batch_id))
    scenario.batches.add_rows(source.batch_id, [RejectedRow(3, "bad", (CellError(3, "amount", "", "why", "do"),))])
    unread = CellError(4, "", "", "the batch was canceled", "upload the rest")
    progress = Progress(line=3, rows_read=2, rows_accepted=1, rows_rejected=1)
    scenario.batches.set_switch(batch, Switch(SwitchState.CANCELED, "admin:jo", iso(NOW)))
    scenario.batches.finish_split(source.batch_id, "split", progress, NOW, [unread])
    scenario.end("p1", Status.REJECTED, "batch_canceled", "its batch was canceled")
    reported = scenario.report(source)
    assert reported
    assert (reported.status, reported.by_status) == (BatchStatus.CANCELED, {"rejected": 1})
    assert [row["status"] for row in scenario.rows_of(RESULTS, source)] == ["rejected"]
    errors = [(row["line"], row["reason"]) for row in scenario.rows_of(ERRORS, source)]
    assert errors == [("2", "its batch was canceled"), ("3", "why"), ("4", "the batch was canceled")]
    assert len(scenario.rows_of(RESUBMIT, source)) == 1
    [event] = scenario.events
    assert event["event"] == "batch.canceled"
    assert "line 4: the batch was canceled" in event["reasons"][0]
