"""The splitter: store the rows of an uploaded file as payments and queue their ids, once each."""

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import timedelta
from itertools import batched, chain
from typing import Any
from urllib.parse import unquote_plus

from payments.application.batch.accept_row import accept_row
from payments.application.batch.close_rows import BatchRows
from payments.application.batch.file import BatchFile, Row
from payments.domain.batch.errors import CellError, FileError, RejectedRow, masked
from payments.domain.batch.state import Batch, BatchStatus, Progress, ResultRow, Source
from payments.domain.clock import Clock, iso
from payments.ports.batch_files import BatchFiles
from payments.ports.batch_store import BatchStore, Claim, NotClaimed
from payments.ports.payment_queue import MESSAGES_A_REQUEST, PaymentQueue, QueuedPayment
from payments.ports.payment_store import PaymentStore

ROWS_A_WINDOW = 100
"""Rows stored at the same time. Windows run one after another: the first row with a payment_id always wins."""
WINDOWS_A_CHECKPOINT = 1
"""One write for a hundred rows is cheap, and a file makes progress even if every run fails early."""
WORKERS = 16
RESERVE_SECONDS = 20
"""The remaining time at which a run hands over to the next: enough for one more window on a slow table."""
GRACE_SECONDS = 5
"""How long after a run's time limit another run may take over its work."""


def sources_in(event: Mapping[str, Any]) -> Iterator[Source]:
    """The uploaded files that an S3 notification names, or the one that a run handed on when its time ran out.

    The keys of a notification are URL-encoded. Folders are skipped.
    """
    if "resume" in event:
        yield Source(**event["resume"])
    for record in event.get("Records", []):
        bucket, uploaded = record["s3"]["bucket"]["name"], record["s3"]["object"]
        key = unquote_plus(uploaded["key"])
        if not key.endswith("/"):
            yield Source(
                bucket, key, uploaded.get("versionId", ""), uploaded.get("eTag", ""), int(uploaded.get("size", 0))
            )


@dataclass(frozen=True)
class Splitter:
    """`continue_later` starts another run, which continues with the file where this one stopped."""

    payments: PaymentStore
    batches: BatchStore
    queue: PaymentQueue
    files: BatchFiles
    rows: BatchRows
    continue_later: Callable[[Source], None]
    clock: Clock
    workers: int = WORKERS

    def split(self, source: Source, *, owner: str, seconds_left: Callable[[], float]) -> Batch | None:
        """Read the file from its checkpoint until its end or until time runs short.

        Returns the batch's current state, or None if another run owns the file or it is already split. Every row is
        stored before it is queued, and queued before the checkpoint passes it. After a failure, the next run repeats
        only the rows since the checkpoint: it finds them stored and queues them again.
        """
        now = self.clock()
        new = Batch(source.batch_id, source, BatchStatus.SPLITTING, iso(now), iso(now))
        claim = Claim(owner, now, now + timedelta(seconds=seconds_left() + GRACE_SECONDS))
        try:
            batch = self.batches.claim_split(new, claim)
        except NotClaimed:
            self.rows.report_if_done(new.batch_id)  # the earlier run may have failed just before this call
            return None
        try:
            file = self._open(source)
        except FileError as refused:
            self.batches.finish_split(batch.batch_id, owner, Progress(), self.clock(), refused.errors)
        else:
            progress = self._read(file, batch, owner, seconds_left)
            if progress is None:
                self.continue_later(source)
                return self.batches.get(batch.batch_id)
            self.batches.finish_split(batch.batch_id, owner, progress, self.clock())
        self.rows.report_if_done(batch.batch_id)
        return self.batches.get(batch.batch_id)

    def _open(self, source: Source) -> BatchFile:
        if not source.is_csv:
            name = masked("", source.key.rpartition("/")[2])
            what_to_do = "upload a .csv or .csv.gz file"
            raise FileError(CellError(1, "", name, "the file's name does not end in .csv or .csv.gz", what_to_do))
        return BatchFile(self.files.read(source))

    def _read(self, file: BatchFile, batch: Batch, owner: str, seconds_left: Callable[[], float]) -> Progress | None:
        """Process all rows after the checkpoint. None if time ran short, but never before one window is done."""
        progress = batch.progress
        with ThreadPoolExecutor(self.workers) as pool:
            for count, window in enumerate(batched(file.rows(progress.line), ROWS_A_WINDOW), 1):
                progress = self._window(pool, batch.batch_id, window, progress)
                out_of_time = seconds_left() < RESERVE_SECONDS
                if out_of_time or count % WINDOWS_A_CHECKPOINT == 0:
                    self.batches.save_progress(batch.batch_id, owner, progress, release=out_of_time)
                if out_of_time:
                    return None
        return progress

    def _window(
        self, pool: ThreadPoolExecutor, batch_id: str, window: Sequence[Row | RejectedRow], progress: Progress
    ) -> Progress:
        refused = [row for row in window if isinstance(row, RejectedRow)]
        submitted: list[ResultRow] = []
        queued: list[QueuedPayment] = []
        for row, outcome in self._store(pool, batch_id, [row for row in window if isinstance(row, Row)]):
            if outcome is None:
                queued.append(QueuedPayment(row.request.payment_id, batch_id, row.line))
            elif isinstance(outcome, ResultRow):
                submitted.append(outcome)
            else:
                refused.append(outcome)
        deque(pool.map(self.queue.send, batched(queued, MESSAGES_A_REQUEST)), maxlen=0)
        if refused or submitted:
            self.batches.add_rows(batch_id, [*refused, *submitted])
        return replace(
            progress,
            line=window[-1].line,
            rows_read=progress.rows_read + len(window),
            rows_accepted=progress.rows_accepted + len(window) - len(refused),
            rows_rejected=progress.rows_rejected + len(refused),
            already_submitted=progress.already_submitted + len(submitted),
        )

    def _store(
        self, pool: ThreadPoolExecutor, batch_id: str, rows: Sequence[Row]
    ) -> Iterator[tuple[Row, ResultRow | RejectedRow | None]]:
        """Store the rows' payments, several at a time. Rows with the same payment_id are stored one after another."""
        by_id: dict[str, list[Row]] = {}
        for row in rows:
            by_id.setdefault(row.request.payment_id, []).append(row)
        same_id = list(by_id.values())
        shares = [list(chain.from_iterable(same_id[i :: self.workers])) for i in range(self.workers)]

        def store_all(share: list[Row]) -> list[tuple[Row, ResultRow | RejectedRow | None]]:
            return [(row, accept_row(row, batch_id, store=self.payments, at=self.clock())) for row in share]

        return chain.from_iterable(pool.map(store_all, filter(None, shares)))
