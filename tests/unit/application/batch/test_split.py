"""The splitter, also with crashes at each of its steps."""

import gzip
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from threading import Event
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fakes.batch_files import MemoryBatchFiles
from fakes.batches import MemoryBatchStore
from fakes.customers import MemoryCustomerStore
from fakes.limits import MemoryLimitStore
from fakes.payment_queue import MemoryPaymentQueue
from fakes.payments import MemoryPaymentStore
from fakes.text_hasher import MemoryTextHasher
from payments.application import velocity
from payments.application.batch import file as batch_file
from payments.application.batch import records
from payments.application.batch import split as batch_split
from payments.application.batch.close_rows import BatchRows
from payments.application.batch.file import END
from payments.application.batch.row_rules import rules_of
from payments.application.batch.split import Splitter, sources_in
from payments.application.id_rules import IdRules
from payments.application.velocity import Addresses, MerchantTable, Velocity
from payments.domain.batch.errors import RejectedRow
from payments.domain.batch.state import Batch, BatchStatus, Progress, ResultRow, Source
from payments.domain.batch.switch import Switch, SwitchState
from payments.domain.clock import iso
from payments.domain.merchants import Merchants
from payments.domain.money import Money
from payments.domain.payment import Payment, PaymentRequest, accepted, moved
from payments.domain.statuses import Status

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
HEADER = b"payment_id,amount,currency\n"
TWELVE_ROWS = HEADER + b"".join(b"p%d,%d.00,USD\n" % (n, n) for n in range(1, 13))


class Crashed(Exception):
    """The function crashes: out of memory, timed out, or its host lost."""


class Interrupted:
    """Passes calls on to `target`. Crashes before or after the call numbered `crashes_at` of all effects."""

    def __init__(self, target: Any, crash_point: "CrashPoint") -> None:
        self._target = target
        self._crash_point = crash_point

    def __getattr__(self, name: str) -> Any:
        return self._crash_point.limited(getattr(self._target, name))


@dataclass
class CrashPoint:
    """Counts side effects and ends at one of them. `crashes_at` -1: never."""

    crashes_at: int = -1
    after: bool = False
    effects: int = 0

    def limited(self, effect: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            self.effects += 1
            if self.effects - 1 == self.crashes_at:
                if self.after:
                    effect(*arguments, **options)
                raise Crashed
            return effect(*arguments, **options)

        return call


@dataclass
class SplitScenario:
    """The fakes of everything around the splitter. They outlive its runs."""

    payments: MemoryPaymentStore = field(default_factory=MemoryPaymentStore)
    queue: MemoryPaymentQueue = field(default_factory=MemoryPaymentQueue)
    files: MemoryBatchFiles = field(default_factory=MemoryBatchFiles)
    reports: list[str] = field(default_factory=list)
    continued: list[Source] = field(default_factory=list)
    now: datetime = NOW
    velocity: Velocity | None = None
    crash_point: CrashPoint = field(default_factory=CrashPoint)
    merchants: Merchants = field(default_factory=Merchants)
    customers: MemoryCustomerStore = field(default_factory=MemoryCustomerStore)

    def __post_init__(self) -> None:
        self.batches = MemoryBatchStore(self.payments)

    def split(
        self,
        source: Source,
        owner: str = "run-1",
        seconds_left: float | Callable[[], float] = 900,
        workers: int = 1,
    ) -> Batch | None:
        batches: Any = Interrupted(self.batches, self.crash_point)
        splitter = Splitter(
            payments=Interrupted(self.payments, self.crash_point),
            batches=batches,
            queue=Interrupted(self.queue, self.crash_point),
            files=self.files,
            rows=BatchRows(batches, self.crash_point.limited(self.reports.append)),
            continue_later=self.crash_point.limited(self.continued.append),
            rules_of=partial(rules_of, ids=IdRules(self.merchants, self.payments, self.customers)),
            clock=lambda: self.now,
            workers=workers,
            velocity=self.velocity,
        )
        return splitter.split(
            source,
            owner=owner,
            seconds_left=seconds_left if callable(seconds_left) else lambda: float(seconds_left),
        )

    def close_all(self, source: Source) -> None:
        """Let every queued payment succeed, as the workflow does."""
        rows = BatchRows(self.batches, self.reports.append)
        for payment in list(self.payments.of_batch(source.batch_id)):
            processing = moved(payment, Status.PROCESSING, at=self.now, actor="test")
            self.payments.save(processing)
            succeeded = moved(processing, Status.SUCCEEDED, at=self.now, actor="test")
            self.payments.save(succeeded)
            rows.close(succeeded)

    def queued_ids(self) -> set[str]:
        return {message.payment_id for message in self.queue.messages}

    def batch(self, source: Source) -> Batch:
        batch = self.batches.get(source.batch_id)
        assert batch
        return batch


def counted(batch: Batch) -> Progress:
    """The batch's progress in rows and lines."""
    return replace(batch.progress, offset=0)


@pytest.fixture(autouse=True)
def small_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch_split, "ROWS_A_WINDOW", 3)


@pytest.mark.parametrize("workers", [1, 16])
def test_split_stores_queues_and_counts_all_good_rows(workers: int) -> None:
    scenario = SplitScenario()
    source = scenario.files.upload("incoming/twelve.csv", TWELVE_ROWS)
    batch = scenario.split(source, workers=workers)
    assert batch
    assert batch.status is BatchStatus.PROCESSING
    assert counted(batch) == Progress(line=13, rows_read=12, rows_accepted=12)
    assert [(message.payment_id, message.line) for message in scenario.queue.messages] == [
        (f"p{n}", n + 1) for n in range(1, 13)
    ]
    stored = scenario.payments.rows["p7"]
    assert (stored.source, stored.batch_id, stored.batch_line) == ("batch", source.batch_id, 8)
    assert (stored.status, stored.money) == (Status.PENDING, Money(700, "USD"))


def test_split_when_queued_then_the_message_holds_ids_only() -> None:
    scenario = SplitScenario()
    content = b"payment_id,amount,currency,customer_id,payment_method,description\np1,1,USD,cus_1,pm_secret,private\n"
    scenario.split(scenario.files.upload("incoming/a.csv", content))
    (message,) = scenario.queue.messages
    assert set(message.__slots__) == {"payment_id", "batch_id", "line"}
    assert "secret" not in repr(message)
    assert "private" not in repr(message)


@pytest.mark.fault(31)
def test_split_keeps_the_first_row_of_an_id_and_repeats_name_its_line() -> None:
    scenario = SplitScenario()
    source = scenario.files.upload("incoming/a.csv", HEADER + b"p1,1,USD\np2,2,USD\np1,1,USD\np3,3,USD\np1,9,EUR\n")
    batch = scenario.split(source, workers=16)
    assert batch
    assert counted(batch) == Progress(line=6, rows_read=5, rows_accepted=3, rows_rejected=2)
    assert scenario.payments.rows["p1"].money == Money(100, "USD")
    assert scenario.payments.rows["p1"].batch_line == 2
    rejected = list(scenario.batches.rows(source.batch_id))
    assert [row.line for row in rejected] == [4, 6]
    assert all(isinstance(row, RejectedRow) and "line 2 " in row.errors[0].reason for row in rejected)


@given(ids=st.lists(st.sampled_from(["p1", "p2", "p3", "p4"]), max_size=14))
@settings(max_examples=50)
def test_split_stores_each_id_from_its_first_line_for_any_repetition(ids: list[str]) -> None:
    scenario = SplitScenario()
    content = HEADER + b"".join(b"%s,%d,USD\n" % (name.encode(), n) for n, name in enumerate(ids, 1))
    source = scenario.files.upload("incoming/a.csv", content)
    scenario.split(source, workers=16)
    assert {p.payment_id: p.batch_line for p in scenario.payments.rows.values()} == {
        name: ids.index(name) + 2 for name in ids
    }
    progress = scenario.batch(source).progress
    assert progress.rows_accepted == len(set(ids))
    assert progress.rows_accepted + progress.rows_rejected == progress.rows_read == len(ids)


def test_split_marks_a_payment_sent_over_rest_as_already_submitted() -> None:
    scenario = SplitScenario()
    scenario.payments.create(accepted(PaymentRequest("p2", Money(200, "USD")), at=NOW, source="rest"))
    source = scenario.files.upload("incoming/a.csv", HEADER + b"p1,1,USD\np2,2.00,USD\n")
    batch = scenario.split(source)
    assert batch
    assert counted(batch) == Progress(line=3, rows_read=2, rows_accepted=2, already_submitted=1)
    assert scenario.queued_ids() == {"p1"}
    (row,) = scenario.batches.rows(source.batch_id)
    assert isinstance(row, ResultRow)
    assert (row.line, row.payment_id, row.amount, row.already_submitted) == (3, "p2", "2.00", "over rest")


@pytest.mark.parametrize(
    ("sent", "cells", "differs"),
    [
        ({}, "p1,2,USD,", "amount"),
        ({}, "p1,1,USD,false", "content"),  # what is usual over REST, given in a file
        ({"off_session": True}, "p1,1,USD,false", "off_session"),
        ({"return_url": "https://shop.example/"}, "p1,1,USD,", "return_url"),
    ],
)
def test_split_names_off_session_only_if_the_row_has_it(sent: dict[str, Any], cells: str, differs: str) -> None:
    scenario = SplitScenario()
    scenario.payments.create(accepted(PaymentRequest("p1", Money(100, "USD"), **sent), at=NOW, source="rest"))
    source = scenario.files.upload("incoming/a.csv", f"payment_id,amount,currency,off_session\n{cells}\n".encode())
    scenario.split(source)
    (row,) = scenario.batches.rows(source.batch_id)
    assert isinstance(row, RejectedRow)
    assert f"with other {differs}" in row.errors[0].reason


def test_split_rejects_a_taken_id_naming_the_fields_that_differ() -> None:
    scenario = SplitScenario()
    scenario.payments.create(accepted(PaymentRequest("p1", Money(77700, "EUR")), at=NOW, source="rest"))
    source = scenario.files.upload("incoming/a.csv", HEADER + b"p1,1,USD\n")
    batch = scenario.split(source)
    assert batch
    assert batch.progress.rows_rejected == 1
    (row,) = scenario.batches.rows(source.batch_id)
    assert isinstance(row, RejectedRow)
    assert "over rest with other amount, currency" in row.errors[0].reason
    assert "777" not in repr(row)
    assert scenario.queue.messages == []


def test_split_ignores_a_second_s3_notification_after_its_end() -> None:
    scenario = SplitScenario()
    source = scenario.files.upload("incoming/a.csv", TWELVE_ROWS)
    scenario.split(source, owner="run-1")
    assert scenario.split(source, owner="run-2") is None
    assert len(scenario.queue.messages) == 12
    assert scenario.batch(source).progress.rows_read == 12


def test_split_when_another_run_holds_the_file_then_this_one_does_nothing() -> None:
    scenario = SplitScenario()
    source = scenario.files.upload("incoming/a.csv", TWELVE_ROWS)
    scenario.crash_point = CrashPoint(crashes_at=5)
    with pytest.raises(Crashed):
        scenario.split(source, owner="run-1", seconds_left=900)
    scenario.crash_point = CrashPoint()
    sent = list(scenario.queue.messages)
    scenario.now = NOW + timedelta(seconds=60)
    assert scenario.split(source, owner="run-2") is None
    assert scenario.queue.messages == sent


def test_split_of_the_same_file_again_marks_every_row_already_submitted() -> None:
    scenario = SplitScenario()
    first = scenario.files.upload("incoming/a.csv", TWELVE_ROWS, "v1")
    again = scenario.files.upload("incoming/a.csv", TWELVE_ROWS, "v2")
    assert first.batch_id != again.batch_id
    scenario.split(first)
    batch = scenario.split(again)
    assert batch
    assert counted(batch) == Progress(line=13, rows_read=12, rows_accepted=12, already_submitted=12)
    assert len(scenario.queue.messages) == 12
    assert scenario.reports == [again.batch_id]
    assert all(
        isinstance(row, ResultRow) and row.already_submitted == f"of batch {first.batch_id} line {row.line}"
        for row in scenario.batches.rows(again.batch_id)
    )


@pytest.mark.parametrize("key", ["incoming/notes.txt", "incoming/payroll.xlsx", "incoming/csv"])
def test_split_refuses_a_file_not_named_csv_with_the_reason(key: str) -> None:
    scenario = SplitScenario()
    source = scenario.files.upload(key, TWELVE_ROWS)
    batch = scenario.split(source)
    assert batch
    assert "does not end in .csv" in batch.file_errors[0].reason
    assert scenario.reports == [source.batch_id]
    assert scenario.payments.rows == {}


@pytest.mark.parametrize("key", ["incoming/A.CSV", "incoming/a.csv.gz", "incoming/a.Csv.GZ"])
def test_split_accepts_csv_endings_in_capitals_or_with_gz(key: str) -> None:
    scenario = SplitScenario()
    batch = scenario.split(scenario.files.upload(key, TWELVE_ROWS))
    assert batch
    assert batch.progress.rows_accepted == 12


def test_split_with_a_wrong_header_starts_the_report_with_the_errors() -> None:
    scenario = SplitScenario()
    source = scenario.files.upload("incoming/a.csv", b"id,amount\n")
    batch = scenario.split(source)
    assert batch
    assert {error.column for error in batch.file_errors} == {"column 1", "payment_id", "currency"}
    assert scenario.reports == [source.batch_id]


@pytest.mark.parametrize("content", [HEADER, HEADER + b"p1,-1,USD\n"])
def test_split_starts_the_report_at_the_end_when_no_row_is_a_payment(content: bytes) -> None:
    scenario = SplitScenario()
    source = scenario.files.upload("incoming/a.csv", content)
    scenario.split(source)
    assert scenario.reports == [source.batch_id]


def test_split_starts_the_report_when_all_payments_closed_before_its_end() -> None:
    scenario = SplitScenario()
    source = scenario.files.upload("incoming/a.csv", TWELVE_ROWS + b"\n" * 20)
    scenario.split(source, seconds_left=lambda: 1 if len(scenario.queue.messages) == 12 else 900)
    assert scenario.batch(source).progress.rows_read == 12  # the end of the file is not reached yet
    scenario.close_all(source)
    assert scenario.reports == []
    scenario.split(source, owner="run-2")
    assert scenario.reports == [source.batch_id]


def test_last_payment_to_close_after_the_split_starts_the_report_once() -> None:
    scenario = SplitScenario()
    source = scenario.files.upload("incoming/a.csv", TWELVE_ROWS)
    scenario.split(source)
    assert scenario.reports == []
    scenario.close_all(source)
    assert scenario.reports == [source.batch_id]


def test_close_counts_no_payment_under_way_or_without_a_batch() -> None:
    scenario = SplitScenario()
    source = scenario.files.upload("incoming/a.csv", HEADER + b"p1,1,USD\n")
    scenario.split(source)
    rows = BatchRows(scenario.batches, scenario.reports.append)
    rows.close(scenario.payments.rows["p1"])
    rows.close(replace(scenario.payments.rows["p1"], batch_id="", status=Status.SUCCEEDED))
    assert scenario.batch(source).rows_closed == 0


def test_close_repeated_after_a_crash_starts_the_missing_report() -> None:
    scenario = SplitScenario()
    source = scenario.files.upload("incoming/a.csv", HEADER + b"p1,1,USD\n")
    scenario.split(source)
    declined = replace(scenario.payments.rows["p1"], status=Status.SUCCEEDED)
    scenario.batches.close_row(declined)
    BatchRows(scenario.batches, scenario.reports.append).close(declined)
    assert scenario.reports == [source.batch_id]


def test_split_short_of_time_hands_over_and_the_next_run_continues() -> None:
    scenario = SplitScenario()
    source = scenario.files.upload("incoming/a.csv", TWELVE_ROWS)
    for run in range(12):
        scenario.split(source, owner=f"run-{run}", seconds_left=5)
        assert scenario.continued == [source] * (run + 1)
        assert scenario.batch(source).progress.rows_read == run + 1
    scenario.split(source, owner="run-12", seconds_left=5)
    assert scenario.batch(source).status is BatchStatus.PROCESSING
    assert Counter(message.payment_id for message in scenario.queue.messages) == Counter(scenario.payments.rows.keys())


MIXED = HEADER + (
    b"p1,1,USD\nrest,5,USD\np2,2,USD\nbad,-1,USD\np1,1,USD\np3,3,JPY\n"
    b'p4,"4,USD\np5,5.00,USD\nother,1,USD\np6,6,USD\np2,7,USD\np7,7,USD\np8,8,KWD\n'
)
STEPS = {900: 36, 5: 96}
"""Seconds left → the effects of a split of these rows, at least: in one run, or with a row in each run."""
MIXED_PROGRESS = Progress(line=14, rows_read=13, rows_accepted=8, rows_rejected=5, already_submitted=1)


def mixed_world() -> tuple[SplitScenario, Source]:
    scenario = SplitScenario()
    scenario.payments.create(accepted(PaymentRequest("rest", Money(500, "USD")), at=NOW, source="rest"))
    scenario.payments.create(accepted(PaymentRequest("other", Money(900, "USD")), at=NOW, source="rest"))
    return scenario, scenario.files.upload("incoming/a.csv", MIXED)


@pytest.mark.fault(30)
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("same_owner", [True, False], ids=["repeated_by_lambda", "taken_over_later"])
@pytest.mark.parametrize(
    ("crashes_at", "seconds_left"),
    [*((step, 900) for step in range(STEPS[900])), *((step, 5) for step in range(STEPS[5]))],
)
def test_split_crashing_at_any_step_loses_and_double_counts_no_row(
    crashes_at: int, same_owner: bool, after: bool, seconds_left: float
) -> None:
    scenario, source = mixed_world()
    scenario.crash_point = CrashPoint(crashes_at, after)
    run = 0
    for _ in range(20):
        try:
            scenario.split(source, owner=f"run-{run}", seconds_left=seconds_left)
            run += 1
        except Crashed:
            scenario.crash_point = CrashPoint()
            if not same_owner:
                run += 1
                scenario.now += timedelta(seconds=1000)
    batch = scenario.batch(source)
    assert batch.status is BatchStatus.PROCESSING
    assert counted(batch) == MIXED_PROGRESS
    own = {"p1", "p2", "p3", "p5", "p6", "p7", "p8"}
    assert {payment.payment_id for payment in scenario.payments.of_batch(source.batch_id)} == own
    assert scenario.queued_ids() == own
    rows = list(scenario.batches.rows(source.batch_id))
    assert [(row.line, type(row)) for row in rows] == [
        (3, ResultRow),
        (5, RejectedRow),
        (6, RejectedRow),
        (8, RejectedRow),
        (10, RejectedRow),
        (12, RejectedRow),
    ]
    scenario.close_all(source)
    assert set(scenario.reports) == {source.batch_id}


@pytest.mark.parametrize("seconds_left", STEPS)
def test_split_has_no_more_steps_than_the_crash_test_tries(seconds_left: int) -> None:
    scenario, source = mixed_world()
    while scenario.split(source, seconds_left=seconds_left):
        pass
    assert 0.9 * STEPS[seconds_left] < scenario.crash_point.effects <= STEPS[seconds_left]


@given(deaths=st.lists(st.integers(0, 25), max_size=6), workers=st.sampled_from([1, 4]))
@settings(max_examples=60)
def test_split_crashing_repeatedly_still_splits_the_file_exactly(deaths: list[int], workers: int) -> None:
    scenario, source = mixed_world()
    for crashes_at in deaths:
        scenario.crash_point = CrashPoint(crashes_at)
        try:
            scenario.split(source, owner="run", workers=workers)
        except Crashed:
            continue
    scenario.crash_point = CrashPoint()
    scenario.split(source, owner="run", workers=workers)
    assert counted(scenario.batch(source)) == MIXED_PROGRESS
    assert scenario.queued_ids() == {"p1", "p2", "p3", "p5", "p6", "p7", "p8"}


# Time -----------------------------------------------------------------------------------------------


class Watch:
    """The time left of a run. Lambda stops the function when nothing is left."""

    def __init__(self, seconds: float) -> None:
        self.left = seconds

    def spend(self, seconds: float) -> None:
        self.left -= seconds
        if self.left < 0:
            raise Crashed

    def __call__(self) -> float:
        return self.left


@dataclass
class TimedScenario(SplitScenario):
    """Each chunk that is read and each row that is stored takes time. A run that exceeds its 900 s is stopped."""

    chunk_seconds: float = 0
    row_seconds: float = 0
    chunks_read: int = 0

    def run_until_split(self, source: Source, most_runs: int) -> Batch:
        """Run until nothing continues the file. A stopped run is repeated, as Lambda and recovery do."""
        for _ in range(most_runs):
            watch = Watch(900)
            read, create = self.files.read, self.payments.create

            def timed_read(source: Source, start: int = 0, read: Any = read, watch: Watch = watch) -> Iterator[bytes]:
                for chunk in read(source, start):
                    self.chunks_read += 1
                    watch.spend(self.chunk_seconds)
                    yield chunk

            def timed_create(payment: Payment, create: Any = create, watch: Watch = watch) -> None:
                watch.spend(self.row_seconds)
                create(payment)

            self.files.read, self.payments.create = timed_read, timed_create  # type: ignore[method-assign]
            try:
                self.split(source, owner="run", seconds_left=watch)
            except Crashed:
                pass
            finally:
                self.files.read, self.payments.create = read, create  # type: ignore[method-assign]
            if self.batch(source).status is not BatchStatus.SPLITTING:
                break
        return self.batch(source)


@pytest.mark.fault(64)
def test_split_of_rows_that_take_minutes_each_advances_in_every_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch_split, "ROWS_A_WINDOW", 100)
    scenario = TimedScenario(row_seconds=350)
    source = scenario.files.upload("incoming/a.csv", TWELVE_ROWS)
    batch = scenario.run_until_split(source, most_runs=6)
    assert batch.status is BatchStatus.PROCESSING
    assert counted(batch) == Progress(line=13, rows_read=12, rows_accepted=12)
    assert scenario.queued_ids() == {f"p{n}" for n in range(1, 13)}


@pytest.mark.fault(64)
@pytest.mark.parametrize("ending", ["csv", "csv.gz"])
def test_split_of_blank_lines_that_take_hours_ends_in_few_runs(ending: str) -> None:
    scenario = TimedScenario(chunk_seconds=100)
    content = HEADER + b"p1,1,USD\n" + b"\n" * 400 + b"p2,2,USD\n"
    scenario.files = MemoryBatchFiles(chunk_bytes=20)
    compressed = gzip.compress(content, compresslevel=0, mtime=0)
    if ending == "csv.gz":
        scenario.chunk_seconds = 20  # it is read from its start in every run, which must fit into one
    source = scenario.files.upload(f"incoming/a.{ending}", compressed if ending == "csv.gz" else content)
    batch = scenario.run_until_split(source, most_runs=5)
    assert batch.status is BatchStatus.PROCESSING
    assert counted(batch) == Progress(line=403, rows_read=2, rows_accepted=2)


@pytest.mark.fault(64)
def test_split_of_2_mb_of_gzip_that_unpack_to_line_ends_refuses_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "MAX_LINES", 100_000)
    scenario = SplitScenario()
    scenario.files = MemoryBatchFiles(chunk_bytes=65_536)
    bomb = gzip.compress(HEADER + b"p1,1,USD\n" + b"\n" * 10_000_000 + b"p2,2,USD\n", mtime=0)
    source = scenario.files.upload("incoming/a.csv.gz", bomb)
    batch = scenario.split(source)
    assert batch
    assert batch.progress == Progress(100_001, rows_read=2, rows_accepted=1, rows_rejected=1, offset=END)
    (row,) = scenario.batches.rows(source.batch_id)
    assert isinstance(row, RejectedRow)
    assert row.errors[0].reason == "the file has more than 100000 lines; this one and the rest were not read"


@pytest.mark.fault(64)
@pytest.mark.parametrize("cut_short", [b"\n" * 200_000, b"p2,2,USD\n" * 3])
def test_split_after_the_row_that_ends_a_file_counts_it_once(cut_short: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "MAX_LINES", 100_000)
    monkeypatch.setattr(batch_file, "MAX_ROWS", 3)
    scenario = SplitScenario()
    source = scenario.files.upload("incoming/a.csv", HEADER + b"p1,1,USD\n" + cut_short)
    for step in range(30):
        scenario.crash_point = CrashPoint(step % 7)
        try:
            scenario.split(source, owner="run", seconds_left=5)
        except Crashed:
            continue
    scenario.crash_point = CrashPoint()
    while scenario.split(source, owner="run"):
        pass
    progress = scenario.batch(source).progress
    assert progress.rows_rejected == len(list(scenario.batches.rows(source.batch_id)))
    assert progress.rows_accepted + progress.rows_rejected == progress.rows_read <= 4
    assert (progress.line > 4, progress.offset) == (True, END)


def test_split_continues_at_its_byte_and_reads_no_chunk_before_it() -> None:
    scenario = TimedScenario()
    content = HEADER + b"".join(b"p%d,1,USD\n" % n for n in range(200))
    source = scenario.files.upload("incoming/a.csv", content)
    chunks = len(content) // 7
    for run in range(200):
        scenario.split(source, owner=f"run-{run}", seconds_left=lambda: 5)
    scenario.chunks_read = 0
    scenario.run_until_split(source, most_runs=1)
    assert scenario.batch(source).progress.rows_read == 200
    assert scenario.chunks_read < chunks / 10


def test_split_continues_progress_of_before_without_an_offset() -> None:
    scenario = SplitScenario()
    source = scenario.files.upload("incoming/a.csv", TWELVE_ROWS)
    scenario.split(source, seconds_left=5)
    scenario.split(source, seconds_left=5)
    before = replace(scenario.batch(source).progress, offset=0)
    scenario.batches.save_progress(source.batch_id, "run-1", before, release=True)
    scenario.split(source, seconds_left=5)
    assert counted(scenario.batch(source)) == Progress(line=4, rows_read=3, rows_accepted=3)
    batch = scenario.split(source)
    assert batch
    assert counted(batch) == Progress(line=13, rows_read=12, rows_accepted=12)
    assert len(scenario.queue.messages) == 12


def test_sources_of_a_notification_have_decoded_keys_and_no_folders() -> None:
    def record(key: str) -> dict[str, Any]:
        uploaded = {"key": key, "versionId": "v1", "eTag": "e", "size": 3}
        return {"s3": {"bucket": {"name": "b"}, "object": uploaded}}

    event = {"Records": [record("incoming/May+pay%C3%A9%281%29.csv"), record("incoming/2026/")]}
    assert list(sources_in(event)) == [Source("b", "incoming/May payé(1).csv", "v1", "e", 3)]


def test_batch_id_is_plain_and_differs_by_version_and_folder() -> None:
    ids = [
        Source("b", key, version, "e", 0).batch_id
        for key, version in [
            ("incoming/May pay(1).CSV.gz", "v1"),
            ("incoming/May pay(1).CSV.gz", "v2"),
            ("incoming/x/May pay(1).CSV.gz", "v1"),
            ("incoming/é.csv", "v1"),
        ]
    ]
    assert len(set(ids)) == 4
    assert [name.rpartition("-")[0] for name in ids] == ["May-pay-1", "May-pay-1", "May-pay-1", "batch"]


# The claim of a run -------------------------------------------------------------------------------


@pytest.mark.fault(30)
def test_killed_split_is_free_after_a_minute_of_its_fifteen() -> None:
    scenario = SplitScenario()
    source = scenario.files.upload("incoming/a.csv", TWELVE_ROWS)
    scenario.crash_point = CrashPoint(crashes_at=12)
    with pytest.raises(Crashed):
        scenario.split(source, owner="killed")
    scenario.crash_point = CrashPoint()
    scenario.now += timedelta(seconds=60)
    assert scenario.split(source, owner="early") is None
    assert not scenario.batch(source).is_abandoned(iso(scenario.now))
    scenario.now += timedelta(seconds=1)
    assert scenario.batch(source).is_abandoned(iso(scenario.now))
    scenario.split(source, owner="next")
    assert counted(scenario.batch(source)) == Progress(line=13, rows_read=12, rows_accepted=12)


@pytest.mark.parametrize(("chunk_seconds", "row_seconds"), [(30, 0), (0, 12)])
def test_split_that_is_slow_keeps_its_claim(chunk_seconds: float, row_seconds: float) -> None:
    scenario = SplitScenario(files=MemoryBatchFiles(chunk_bytes=20))
    source = scenario.files.upload("incoming/a.csv.gz", gzip.compress(TWELVE_ROWS, compresslevel=0, mtime=0))
    read, create = scenario.files.read, scenario.payments.create
    start, ends = scenario.now, []

    def spend(seconds: float) -> None:
        scenario.now += timedelta(seconds=seconds)
        if batch := scenario.batches.get(source.batch_id):
            ends.append(batch.due_at)
            assert not batch.is_abandoned(iso(scenario.now))
            assert batch.due_at == batch.owner_until

    def slow_read(source: Source, start: int = 0) -> Iterator[bytes]:
        for chunk in read(source, start):
            spend(chunk_seconds)
            yield chunk

    def slow_create(payment: Payment) -> None:
        create(payment)
        spend(row_seconds)

    scenario.files.read, scenario.payments.create = slow_read, slow_create  # type: ignore[method-assign]
    scenario.split(source, seconds_left=lambda: 900 - (scenario.now - start).total_seconds(), workers=1)
    assert counted(scenario.batch(source)).rows_read == 12
    assert len(set(ends)) > 3


def test_split_extends_its_claim_while_it_waits_for_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch_split, "EXTEND_SECONDS", 0.001)
    scenario, extended = SplitScenario(), Event()
    source = scenario.files.upload("incoming/a.csv", TWELVE_ROWS)
    create, save_progress = scenario.payments.create, scenario.batches.save_progress
    ends = time.monotonic() + 900

    def waits(payment: Payment) -> None:
        assert extended.wait(60)
        create(payment)

    def saves(batch_id: str, owner: str, progress: Progress, **claim: Any) -> None:
        save_progress(batch_id, owner, progress, **claim)
        if claim["until"] == NOW + timedelta(seconds=60):
            extended.set()

    scenario.payments.create, scenario.batches.save_progress = waits, saves  # type: ignore[method-assign]
    scenario.split(source, seconds_left=lambda: ends - time.monotonic())
    assert counted(scenario.batch(source)).rows_read == 12


@pytest.mark.parametrize("at", ["payment", "checkpoint"])
def test_split_that_lost_its_claim_stops_without_an_error(at: str) -> None:
    scenario = SplitScenario()
    source = scenario.files.upload("incoming/a.csv", TWELVE_ROWS)
    name, target = {"payment": ("create", scenario.payments), "checkpoint": ("add_rows", scenario.batches)}[at]
    effect, calls = getattr(target, name), []

    def held_up(*arguments: Any) -> None:
        calls.append(arguments)
        if len(calls) == 1:  # for two minutes, in which recovery starts another run
            scenario.now += timedelta(minutes=2)
            scenario.split(source, owner="second")
        effect(*arguments)

    setattr(target, name, held_up)
    if at == "checkpoint":
        scenario.payments.create(accepted(PaymentRequest("p1", Money(900, "USD")), at=NOW, source="rest"))
    assert scenario.split(source, owner="first") is None
    batch = scenario.batch(source)
    refused = int(at == "checkpoint")
    assert batch.status is BatchStatus.PROCESSING
    assert counted(batch) == Progress(line=13, rows_read=12, rows_accepted=12 - refused, rows_rejected=refused)
    assert len(scenario.queued_ids()) == 12 - refused
    assert scenario.continued == []


# A batch that is canceled while its file is read ----------------------------------------------------------------------


@pytest.mark.fault(88)
@pytest.mark.parametrize("state", [SwitchState.CANCELED, SwitchState.PAUSED])
def test_split_of_a_canceled_batch_reads_no_further_window(state: SwitchState) -> None:
    scenario = SplitScenario()
    content = "payment_id,amount,currency\n" + "".join(f"p{number},1,USD\n" for number in range(10))
    source = scenario.files.upload("incoming/a.csv", content.encode())
    save_progress = scenario.batches.save_progress

    def cancels(batch_id: str, owner: str, progress: Progress, **claim: Any) -> None:
        save_progress(batch_id, owner, progress, **claim)
        batch = scenario.batch(source)
        if not batch.switch.holds:
            scenario.batches.set_switch(batch, Switch(state, "admin:jo", iso(NOW)))

    scenario.batches.save_progress = cancels  # type: ignore[method-assign]
    scenario.split(source)
    batch = scenario.batch(source)
    assert batch.status is BatchStatus.PROCESSING
    if state is SwitchState.PAUSED:
        assert (counted(batch).rows_read, len(scenario.queued_ids())) == (10, 10)
        return
    assert counted(batch).rows_read == 3
    assert scenario.queued_ids() == {"p0", "p1", "p2"} == set(scenario.payments.rows)
    [error] = batch.file_errors
    assert (error.line, error.reason) == (5, "the batch was canceled; this row and the following rows were not read")
    assert scenario.split(source) is None


@pytest.mark.fault(88)
def test_split_taken_over_after_a_cancel_counts_what_is_stored() -> None:
    scenario = SplitScenario()
    content = "payment_id,amount,currency\n" + "".join(f"p{number},1,USD\n" for number in range(10))
    source = scenario.files.upload("incoming/a.csv", content.encode())
    scenario.crash_point = CrashPoint(crashes_at=4)  # the window's rows are stored, its checkpoint is not
    with pytest.raises(Crashed):
        scenario.split(source)
    assert set(scenario.payments.rows) == {"p0", "p1", "p2"}
    scenario.batches.set_switch(scenario.batch(source), Switch(SwitchState.CANCELED, "admin:jo", iso(NOW)))
    scenario.crash_point = CrashPoint()
    scenario.split(source)
    assert counted(scenario.batch(source)).payments == 3 == len(scenario.payments.rows)


# Card testing in a file ----------------------------------------------------------------------------------------------


def rule_on(store: MemoryLimitStore) -> Velocity:
    return Velocity(store, Addresses(MemoryTextHasher()), MerchantTable())


@pytest.mark.fault(72)
def test_rows_with_the_address_of_their_buyer_are_counted_and_held() -> None:
    most = velocity.MOST_CARDS[velocity.Source.ADDRESS].small
    scenario = SplitScenario(velocity=rule_on(MemoryLimitStore()))
    rows = "".join(f"p{n},1.00,USD,pm_{n},203.0.113.7\n" for n in range(most + 2))
    content = f"payment_id,amount,currency,payment_method,client_ip\n{rows}".encode()
    scenario.split(scenario.files.upload("incoming/a.csv", content))
    stored = scenario.payments.rows.values()
    assert [row.hold for row in stored] == [""] * most + [velocity.CARD_TESTING] * 2
    assert {row.client_ip for row in stored} == {"203.0.113.7"}


@pytest.mark.fault(72)
def test_rows_that_are_refused_are_not_counted() -> None:
    store = MemoryLimitStore()
    scenario = SplitScenario(velocity=rule_on(store))
    rows = "".join(f"v1_{n},1.00,USD,pm_{n},203.0.113.7\n" for n in range(20))
    content = f"payment_id,amount,currency,payment_method,client_ip\n{rows}".encode()
    scenario.split(scenario.files.upload("incoming/a.csv", content))
    assert (dict(scenario.payments.rows), store.members) == ({}, {})


@pytest.mark.fault(72)
def test_rows_without_an_address_are_not_counted() -> None:
    store = MemoryLimitStore()
    scenario = SplitScenario(velocity=rule_on(store))
    rows = "".join(f"p{n},1.00,USD,pm_{n}\n" for n in range(200))
    content = f"payment_id,amount,currency,payment_method\n{rows}".encode()
    scenario.split(scenario.files.upload("incoming/a.csv", content))
    assert not store.members
    assert not any(row.hold for row in scenario.payments.rows.values())
