"""The report of a batch: one result for every accepted row, one error for every rejected row, and one event."""

import heapq
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import batched
from typing import Any

from payments.application.batch.file import BatchFile
from payments.application.batch.result_files import ResultFiles
from payments.domain.batch.errors import CellError, RejectedRow
from payments.domain.batch.report import ReportProgress, ResultFile
from payments.domain.batch.state import Batch, BatchStatus, ResultRow
from payments.domain.cancellation import CancelCode
from payments.domain.clock import Clock, iso
from payments.domain.events import BATCH_EVENT
from payments.domain.payment import REQUIRED_FIELDS
from payments.domain.retry import RETRY_REFUSED, former_id_of, retry_id_of
from payments.domain.sealed_fields import context_of
from payments.domain.sealed_text import REFERENCE, is_sealed
from payments.domain.statuses import OPEN, Status
from payments.ports.batch_files import BatchFiles, UploadLost
from payments.ports.batch_store import BatchStore, Claim, NotClaimed
from payments.ports.field_encryptor import FieldEncryptor
from payments.ports.payment_store import PaymentStore, require

_WAITS_SECONDS = (1, 2, 4, 8, 16)
"""The waits between reads of the index by batch, which is rarely more than a second behind its table."""
_READERS, _ROWS_A_WINDOW = 8, 256
"""How many results are prepared at a time, if one of them needs a request: a row from before, whose reference is
sealed, or an earlier payment that was still running."""
CHECKPOINT_SECONDS = 60
"""How much work a run that is killed may lose. A checkpoint also follows each part that is uploaded."""
RESERVE_SECONDS = 30
"""The remaining time at which a run hands over to the next: enough to store the texts of three unfinished parts."""


class IndexBehind(Exception):
    """The index by batch is still incomplete after all waits. Lambda retries the report."""


@dataclass(frozen=True)
class Reporter:
    """`publish` sends the batch's event to its subscribers."""

    payments: PaymentStore
    batches: BatchStore
    files: BatchFiles
    publish: Callable[[dict[str, Any]], None]
    clock: Clock
    sleep: Callable[[float], None]
    encryptor: FieldEncryptor

    def report(self, batch_id: str, *, owner: str, seconds_left: Callable[[], float]) -> Batch | None:
        """Write the result files from the last checkpoint on, send the event, and complete the batch.

        Returns the batch, or None if another run has its report, the report is done, or it is too early. If time runs
        short, the batch is still `reporting`: recovery starts the next run. The event is sent before the batch is
        completed. A run that fails in between is repeated and sends the same event again; the event is therefore never
        lost. Raises IndexBehind, and UploadLost, after which the next run begins anew.
        """
        batch = self.batches.get(batch_id)
        if batch is None or (batch.status is BatchStatus.PROCESSING and not batch.ready_to_report):
            return None
        now = self.clock()
        try:
            batch = self.batches.claim_report(batch_id, Claim(owner, now, now + timedelta(seconds=seconds_left())))
        except NotClaimed:
            return None
        try:
            done = batch.report if batch.report.results else self._write_files(batch, owner, seconds_left)
        except UploadLost:
            self.batches.save_report(batch_id, owner, ReportProgress(), release=True)
            raise
        if done:
            status = _final_status(batch)
            at = self.clock()
            self.publish(batch_event(batch, status, done.by_status, done.results, at))
            self.batches.complete(batch_id, owner, status, done.by_status, at)
        return self.batches.get(batch_id)

    def _write_files(self, batch: Batch, owner: str, seconds_left: Callable[[], float]) -> ReportProgress | None:
        """Write and complete all files. None if time ran short."""
        files = ResultFiles(REQUIRED_FIELDS)
        if not batch.is_unreadable:
            complete = self._add_all_rows(batch, owner, seconds_left)
            if complete is None:
                return None
            files = complete
        for error in batch.file_errors:
            files.add_error(error)
        results = {
            name: self.files.finish(batch.source, name, parts, rest) for name, (parts, rest) in files.rests().items()
        }
        done = ReportProgress(files.line, dict(files.by_status), results=results)
        self.batches.save_report(batch.batch_id, owner, done)
        return done

    def _add_all_rows(self, batch: Batch, owner: str, seconds_left: Callable[[], float]) -> ResultFiles | None:
        """The files with one result for every accepted row. None if time ran short.

        If the index lacked a row, the files begin anew, since no row tells where it is missing.
        """
        progress = batch.report
        for wait_seconds in (*_WAITS_SECONDS, None):
            uploaded = BatchFile(self.files.read(batch.source))
            tails = self.files.read_tails(batch.source, progress.tails) if progress.tails else b""
            files = ResultFiles(uploaded.header, progress, tails)
            if not self._add_rows(files, uploaded, batch, owner, seconds_left):
                return None
            found, accepted = files.by_status.total(), batch.progress.rows_accepted
            if found == accepted:
                return files
            progress = ReportProgress()
            if wait_seconds is not None:
                self.sleep(wait_seconds)
        raise IndexBehind(f"batch {batch.batch_id}: {found} of {accepted} rows found")

    def _add_rows(
        self, files: ResultFiles, uploaded: BatchFile, batch: Batch, owner: str, seconds_left: Callable[[], float]
    ) -> bool:
        """Add the rows after the files' line, in one pass in the order of lines. False if time ran short."""
        cells, id_place = uploaded.cells(), uploaded.columns.index("payment_id")
        rows: Iterator[RejectedRow | ResultRow] = heapq.merge(
            self._own_results(batch.batch_id, files.line),
            self.batches.rows(batch.batch_id, files.line),
            key=lambda row: row.line,
        )
        next_checkpoint = seconds_left() - CHECKPOINT_SECONDS
        for row in self._ready(rows):
            self._link(row)
            _add(files, row, cells, id_place)
            files.line = row.line
            left = seconds_left()
            if left < RESERVE_SECONDS or left < next_checkpoint or files.has_full_part:
                self._checkpoint(files, batch, owner, release=left < RESERVE_SECONDS)
                next_checkpoint = left - CHECKPOINT_SECONDS
            if left < RESERVE_SECONDS:
                return False
        return True

    def _link(self, row: RejectedRow | ResultRow) -> None:
        """Note which payment the row of resubmit.csv belongs to, if its shortened id does not tell."""
        if isinstance(row, ResultRow) and row.status == Status.FAILED:
            retry_id = retry_id_of(row.payment_id)
            if former_id_of(retry_id) != row.payment_id:
                self.batches.link_retry(retry_id, row.payment_id)

    def _checkpoint(self, files: ResultFiles, batch: Batch, owner: str, *, release: bool) -> None:
        """Upload the parts that are full, store the rest, and then the line. The next run continues after it."""
        for name, parts, content in files.full_parts():
            files.uploaded(name, self.files.add_part(batch.source, name, parts, content))
        tails = files.tails()
        progress = replace(files.progress(), tails=self.files.save_tails(batch.source, tails) if tails else "")
        self.batches.save_report(batch.batch_id, owner, progress, release=release)

    def _own_results(self, batch_id: str, after: int) -> Iterator[ResultRow]:
        for indexed in self.payments.of_batch(batch_id, after):
            # every payment is closed by now: if an indexed row is not closed, the index is behind the table
            payment = indexed if indexed.batch_row_closed else require(self.payments, indexed.payment_id)
            yield ResultRow.of(payment.batch_line, payment)

    def _ready(self, rows: Iterable[RejectedRow | ResultRow]) -> Iterator[RejectedRow | ResultRow]:
        """The rows in their order, ready to write: results with their current status, in plain text."""
        with ThreadPoolExecutor(_READERS) as pool:
            for window in batched(rows, _ROWS_A_WINDOW):
                yield from pool.map(self._as_written, window) if any(map(_needs_request, window)) else window

    def _as_written(self, row: RejectedRow | ResultRow) -> RejectedRow | ResultRow:
        if isinstance(row, RejectedRow):
            return row
        row = self._current(row)
        if not is_sealed(row.gateway_reference):
            return row
        texts = self.encryptor.open(context_of(row.payment_id), {REFERENCE: row.gateway_reference})
        return replace(row, gateway_reference=texts[REFERENCE])

    def _current(self, row: ResultRow) -> ResultRow:
        """The current result of an earlier payment that was still running when the file was read."""
        if row.status not in OPEN:
            return row
        return ResultRow.of(row.line, require(self.payments, row.payment_id), row.already_submitted)


def _final_status(batch: Batch) -> BatchStatus:
    if batch.is_unreadable:
        return BatchStatus.REJECTED
    return BatchStatus.CANCELED if batch.switch.is_canceled else BatchStatus.COMPLETED


def _needs_request(row: RejectedRow | ResultRow) -> bool:
    return isinstance(row, ResultRow) and (row.status in OPEN or is_sealed(row.gateway_reference))


def _add(
    files: ResultFiles, row: RejectedRow | ResultRow, cells: Iterator[tuple[int, list[str]]], id_place: int
) -> None:
    """Add a row to the files. `cells` are the lines of the uploaded file and their cells; earlier ones are skipped.
    `id_place` is the place of the payment id among the cells."""
    if isinstance(row, RejectedRow):
        for error in row.errors:
            files.add_error(error, row.payment_id)
        found = _cells_of(row.line, cells)
        if found:
            files.add_resubmit(found)
        return
    files.add_result(row)
    if row.status == Status.REJECTED:
        files.add_error(_error_of(row), row.payment_id)
    elif row.status == Status.FAILED:
        retry_id = retry_id_of(row.payment_id)
        files.add_error(_error_of_failed(row, retry_id), row.payment_id)
        found = _cells_of(row.line, cells)
        if found:
            files.add_resubmit([*found[:id_place], retry_id, *found[id_place + 1 :]])


def _cells_of(line: int, cells: Iterator[tuple[int, list[str]]]) -> list[str] | None:
    found = next((entry for entry in cells if entry[0] >= line), None)
    return found[1] if found and found[0] == line else None


def batch_event(
    batch: Batch, status: BatchStatus, by_status: Mapping[str, int], results: Mapping[str, ResultFile], at: datetime
) -> dict[str, Any]:
    """The event of a batch: its status, its totals, and the keys and versions of its result files."""
    progress = batch.progress
    return {
        "event_id": batch.batch_id,
        "event_type": BATCH_EVENT,
        "event": f"batch.{status.value}",
        "status": status.value,
        "batch_id": batch.batch_id,
        "file": batch.source.file,
        "rows_read": progress.rows_read,
        "accepted": progress.rows_accepted,
        "rejected": progress.rows_rejected,
        "already_submitted": progress.already_submitted,
        "by_status": dict(by_status),
        "reasons": [f"line {error.line}: {error.reason}; {error.what_to_do}" for error in batch.file_errors],
        "bucket": batch.source.bucket,
        "results": {name: file.key for name, file in results.items()},
        "result_versions": {name: file.version_id for name, file in results.items()},
        "occurred_at": iso(at),
    }


def _error_of(row: ResultRow) -> CellError:
    """The error of a payment that was accepted and then rejected. Its id cannot be used again."""
    what_to_do = "correct the row and upload it with a new payment_id"
    if row.code in {*CancelCode}:
        what_to_do = "to pay it after all, upload the row with a new payment_id"
    elif row.code == RETRY_REFUSED:
        what_to_do = "do not pay it under another payment_id; look at the payment that it is a retry of"
    return CellError(row.line, "", "", row.reason or row.code, what_to_do)


def _error_of_failed(row: ResultRow, retry_id: str) -> CellError:
    """The error of a payment that was provably not charged."""
    what_to_do = (
        f"upload resubmit.csv, which has the row as {retry_id}, or send it again with payctl payment retry "
        f"{row.payment_id}: it is charged once"
    )
    return CellError(row.line, "", "", row.reason or row.code or "it was not charged", what_to_do)
