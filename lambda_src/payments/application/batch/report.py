"""The report of a batch: one result for every accepted row, one error for every rejected row, and one event."""

import heapq
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import batched
from typing import Any

from payments.application.batch.file import BatchFile
from payments.application.batch.result_files import ResultFiles
from payments.domain.batch.errors import CellError, RejectedRow
from payments.domain.batch.state import Batch, BatchStatus, ResultRow
from payments.domain.clock import Clock, iso
from payments.domain.events import BATCH_EVENT
from payments.domain.payment import REQUIRED_FIELDS
from payments.domain.sealed_fields import context_of
from payments.domain.sealed_text import REFERENCE
from payments.domain.statuses import OPEN, Status
from payments.ports.batch_files import BatchFiles
from payments.ports.batch_store import BatchStore, Claim, NotClaimed
from payments.ports.field_encryptor import FieldEncryptor
from payments.ports.payment_store import PaymentStore, require

_WAITS_SECONDS = (1, 2, 4, 8, 16)
"""The waits between reads of the index by batch, which is rarely more than a second behind its table."""
_READERS, _ROWS_A_WINDOW = 8, 256
"""How many results are prepared at a time. Each one needs a request of its own to decrypt its reference."""


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

    def report(self, batch_id: str, *, owner: str, seconds_left: float) -> Batch | None:
        """Write the result files, send the event, and complete the batch.

        Returns the batch, or None if another run has its report, the report is done, or it is too early. The event is
        sent before the batch is completed. A run that fails in between is repeated and sends the event again with the
        same `event_id`; the event is therefore never lost. Raises IndexBehind.
        """
        batch = self.batches.get(batch_id)
        if batch is None or (batch.status is BatchStatus.PROCESSING and not batch.ready_to_report):
            return None
        now = self.clock()
        try:
            batch = self.batches.claim_report(batch_id, Claim(owner, now, now + timedelta(seconds=seconds_left)))
        except NotClaimed:
            return None
        result_files, by_status = self._complete_files(batch)
        keys = {name: self.files.write(batch.source, name, content) for name, content in result_files.files().items()}
        status = BatchStatus.REJECTED if batch.file_errors else BatchStatus.COMPLETED
        at = self.clock()
        self.publish(batch_event(batch, status, by_status, keys, at))
        self.batches.complete(batch_id, owner, status, by_status, at)
        return self.batches.get(batch_id)

    def _complete_files(self, batch: Batch) -> tuple[ResultFiles, Mapping[str, int]]:
        for wait_seconds in (*_WAITS_SECONDS, None):
            result_files, by_status = self._result_files(batch)
            if by_status.total() == batch.progress.rows_accepted:
                return result_files, dict(by_status)
            if wait_seconds is not None:
                self.sleep(wait_seconds)
        raise IndexBehind(f"batch {batch.batch_id}: {by_status.total()} of {batch.progress.rows_accepted} rows found")

    def _result_files(self, batch: Batch) -> tuple[ResultFiles, Counter[str]]:
        """The three files and the number of results by status, in one pass over all rows in the order of lines."""
        by_status: Counter[str] = Counter()
        if batch.file_errors:
            result_files = ResultFiles(REQUIRED_FIELDS)
            for error in batch.file_errors:
                result_files.add_error(error)
            return result_files, by_status
        uploaded = BatchFile(self.files.read(batch.source))
        result_files = ResultFiles(uploaded.header)
        cells = uploaded.cells()
        rows: Iterator[RejectedRow | ResultRow] = heapq.merge(
            self._own_results(batch.batch_id), self.batches.rows(batch.batch_id), key=lambda row: row.line
        )
        for row in self._ready(rows):
            if isinstance(row, RejectedRow):
                for error in row.errors:
                    result_files.add_error(error, row.payment_id)
                found = next((entry for entry in cells if entry[0] >= row.line), None)
                if found and found[0] == row.line:
                    result_files.add_resubmit(found[1])
                continue
            result_files.add_result(row)
            by_status[row.status] += 1
            if row.status == Status.REJECTED:
                result_files.add_error(_error_of(row), row.payment_id)
        return result_files, by_status

    def _own_results(self, batch_id: str) -> Iterator[ResultRow]:
        for indexed in self.payments.of_batch(batch_id):
            # every payment is closed by now: if an indexed row is not closed, the index is behind the table
            payment = indexed if indexed.batch_row_closed else require(self.payments, indexed.payment_id)
            yield ResultRow.of(payment.batch_line, payment)

    def _ready(self, rows: Iterable[RejectedRow | ResultRow]) -> Iterator[RejectedRow | ResultRow]:
        """The rows in their order, ready to write: results with their current status, in plain text."""
        with ThreadPoolExecutor(_READERS) as pool:
            for window in batched(rows, _ROWS_A_WINDOW):
                yield from pool.map(self._as_written, window)

    def _as_written(self, row: RejectedRow | ResultRow) -> RejectedRow | ResultRow:
        if isinstance(row, RejectedRow):
            return row
        row = self._current(row)
        texts = self.encryptor.open(context_of(row.payment_id), {REFERENCE: row.gateway_reference})
        return replace(row, gateway_reference=texts[REFERENCE])

    def _current(self, row: ResultRow) -> ResultRow:
        """The current result of an earlier payment that was still running when the file was read."""
        if row.status not in OPEN:
            return row
        return ResultRow.of(row.line, require(self.payments, row.payment_id), row.already_submitted)


def batch_event(
    batch: Batch, status: BatchStatus, by_status: Mapping[str, int], keys: Mapping[str, str], at: datetime
) -> dict[str, Any]:
    """The event of a batch: its status, its totals, and the keys of its result files."""
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
        "results": dict(keys),
        "occurred_at": iso(at),
    }


def _error_of(row: ResultRow) -> CellError:
    """The error of a payment that was accepted and then rejected. Its id cannot be used again."""
    what_to_do = "correct the row and upload it with a new payment_id"
    return CellError(row.line, "", "", row.reason or row.code, what_to_do)
