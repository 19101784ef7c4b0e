"""The splitter: store the rows of an uploaded file as payments and queue their ids, once each."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from itertools import batched
from typing import Any, NamedTuple
from urllib.parse import unquote_plus

from payments.application.batch.accept_row import accept_row
from payments.application.batch.close_rows import BatchRows
from payments.application.batch.file import BatchFile, Row
from payments.application.batch.row_rules import RowRules
from payments.application.velocity import NOT_COUNTED, Buyer, Counted, Velocity
from payments.domain.batch.errors import CellError, FileError, RejectedRow, masked
from payments.domain.batch.state import Batch, BatchStatus, Progress, ResultRow, Source
from payments.domain.clock import Clock, iso
from payments.domain.payment import PaymentRequest
from payments.ports.batch_files import BatchFiles
from payments.ports.batch_store import OWNER_WHILE_CLOSED, BatchStore, Claim, NotClaimed
from payments.ports.payment_queue import MESSAGES_A_REQUEST, PaymentQueue, QueuedPayment, queued_payment
from payments.ports.payment_store import PaymentStore

ROWS_A_WINDOW = 1_000
"""Rows stored at the same time, with one checkpoint. Windows run one after another: the first row with a payment_id
always wins. The larger they are, the less the hand-overs to the threads cost, and the more rows a repeated run finds
stored."""
WORKERS = 16
RESERVE_SECONDS = 20
"""The remaining time at which a run reads no further row."""
WINDOW_SECONDS = 60
"""A window whose rows take longer is ended early: a run that is stopped repeats little."""
STORE_RESERVE_SECONDS = 10
"""The remaining time at which a run stores no further row that it has read: enough to queue the stored ones."""
MOST_OF_A_PRINCIPAL = 128
"""The most characters that are kept of a principal: `AWS:`, an id of 21 and a session's name of 64 are fewer."""
_NO_PRINCIPAL = re.compile(r"[^A-Za-z0-9_+=,.@:/-]")
GRACE_SECONDS = 5
"""How long after a run's time limit another run may take over its work."""
CLAIM_SECONDS = 60
"""How long the next run waits for one that shows no sign of life: a run that is killed must not stop its file until its
time limit."""
EXTEND_SECONDS = 20
"""How much of its claim a run uses up before it extends it."""


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
                bucket,
                key,
                uploaded.get("versionId", ""),
                uploaded.get("eTag", ""),
                int(uploaded.get("size", 0)),
                _principal(record),
            )


def _principal(record: Mapping[str, Any]) -> str:
    """Who uploaded the file, as S3 names it: `AWS:AROA…:session`. Characters that no principal has are replaced."""
    named = str(record.get("userIdentity", {}).get("principalId", ""))
    return _NO_PRINCIPAL.sub("?", named[:MOST_OF_A_PRINCIPAL])


Accept = Callable[[Row, datetime], ResultRow | RejectedRow | None]
"""Stores the payment of a row at a time, as `accept_row` does."""
_Placed = tuple[Row | RejectedRow, int, int]
"""A row, and the lines and bytes of text up to its end."""


class _Read(NamedTuple):
    """What was read of a file, and why the rest was not."""

    progress: Progress
    errors: tuple[CellError, ...] = ()


class _Run:
    """One run's claim on a batch, which it extends as long as it lives, and its checkpoint.

    The claim saves work and guards nothing: each row and each checkpoint is written on a condition. Only the run's own
    thread calls the methods. They raise NotClaimed once another run has taken over; `is_lost` then tells the others.
    """

    def __init__(
        self, batches: BatchStore, batch: Batch, owner: str, seconds_left: Callable[[], float], clock: Clock
    ) -> None:
        self.is_lost = False
        self.seconds_left = seconds_left
        self._batches, self._batch_id, self._owner, self._clock = batches, batch.batch_id, owner, clock
        self._saved = batch.progress
        self._extend_at = seconds_left() - EXTEND_SECONDS

    def save(self, progress: Progress, *, release: bool = False) -> None:
        """Store a checkpoint, and extend the claim if a part of it is used up; `release` ends it."""
        left, until = self.seconds_left(), None
        if left < self._extend_at and not release:
            self._extend_at = left - EXTEND_SECONDS
            until = _claimed_until(self._clock(), left)
        try:
            self._batches.save_progress(self._batch_id, self._owner, progress, until=until, release=release)
        except NotClaimed:
            self.is_lost = True
            raise
        self._saved = progress

    def is_short_of_time(self) -> bool:
        """Whether it should read no further row. Extends the claim."""
        left = self.seconds_left()
        if left < self._extend_at:
            self.save(self._saved)
        return left < RESERVE_SECONDS

    def extended(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """The chunks of a file. The claim is extended while they are read."""
        for chunk in chunks:
            self.is_short_of_time()
            yield chunk

    def wait_for(self, work: Iterable[Future[None]]) -> None:
        """Wait for all of it, and extend the claim meanwhile. Raises what the first part that failed raised."""
        parts = list(work)
        waiting = set(parts)
        while waiting:
            _, waiting = wait(waiting, EXTEND_SECONDS)
            self.is_short_of_time()
        for part in parts:
            part.result()


def _claimed_until(now: datetime, seconds_left: float) -> datetime:
    return now + timedelta(seconds=min(CLAIM_SECONDS, seconds_left + GRACE_SECONDS))


@dataclass(frozen=True)
class Splitter:
    """`continue_later` starts another run, which continues with the file where this one stopped. `metadata_hash_of`
    gives the hash by which a row's payment is found; "" for none. `rules_of` gives the rules of a file's rows, which
    depend on whose it is. `velocity` counts the cards of rows that give the address of their buyer."""

    payments: PaymentStore
    batches: BatchStore
    queue: PaymentQueue
    files: BatchFiles
    rows: BatchRows
    continue_later: Callable[[Source], None]
    rules_of: Callable[[Source], RowRules]
    clock: Clock
    workers: int = WORKERS
    metadata_hash_of: Callable[[Mapping[str, str]], str] = lambda _: ""
    velocity: Velocity | None = None
    is_open: Callable[[], bool] = lambda: True

    def split(self, source: Source, *, owner: str, seconds_left: Callable[[], float]) -> Batch | None:
        """Read the file from its checkpoint until its end or until time runs short.

        Returns the batch's current state, or None if another run owns the file or it is already split. Every row is
        stored before it is queued, and queued before the checkpoint passes it. After a failure, the next run repeats
        only the rows since the checkpoint: it finds them stored and queues them again.
        """
        now = self.clock()
        new = Batch(source.batch_id, source, BatchStatus.SPLITTING, iso(now), iso(now))
        if not self.is_open():
            return self._wait(new)
        try:
            batch = self.batches.claim_split(new, Claim(owner, now, _claimed_until(now, seconds_left())))
        except NotClaimed:
            self.rows.report_if_done(new.batch_id)  # the earlier run may have failed just before this call
            return None
        try:
            is_read = self._split(batch, owner, _Run(self.batches, batch, owner, seconds_left, self.clock))
        except NotClaimed:
            return None  # this run was held up, and another one has taken over
        if is_read:
            self.rows.report_if_done(batch.batch_id)
        else:
            self.continue_later(source)
        return self.batches.get(batch.batch_id)

    def _split(self, batch: Batch, owner: str, run: _Run) -> bool:
        """Read the file, and store that it is read. False if time ran short."""
        try:
            rules = self.rules_of(batch.source)
            file = self._open(batch.source, run)
        except FileError as refused:
            read: _Read | None = _Read(Progress(), refused.errors)
        else:
            read = self._read(file, batch, run, partial(self._accepted, batch, rules))
        if read is not None:
            self.batches.finish_split(batch.batch_id, owner, read.progress, self.clock(), read.errors)
        return read is not None

    def _wait(self, batch: Batch) -> Batch | None:
        """Store that the file waits: once the environment is open, recovery starts the split of an abandoned batch."""
        now = self.clock()
        try:
            return self.batches.claim_split(batch, Claim(OWNER_WHILE_CLOSED, now, now))
        except NotClaimed:
            return None

    def _accepted(self, batch: Batch, rules: RowRules, row: Row, at: datetime) -> ResultRow | RejectedRow | None:
        metadata_hash = self.metadata_hash_of(row.request.metadata)
        count = partial(self._counted, row.request, at)
        return accept_row(row, batch, rules, store=self.payments, at=at, metadata_hash=metadata_hash, count=count)

    def _counted(self, asked: PaymentRequest, at: datetime) -> Counted:
        """A file of a thousand subscribers has as many cards: only a row with the address of its buyer is counted."""
        card = asked.payment_method or asked.token_id
        if self.velocity is None or not asked.client_ip or not card:
            return NOT_COUNTED
        return self.velocity.count(asked.money, card, Buyer(asked.client_ip), at=at)

    def _open(self, source: Source, run: _Run) -> BatchFile:
        if not source.is_csv:
            name = masked("", source.key.rpartition("/")[2])
            what_to_do = "upload a .csv or .csv.gz file"
            raise FileError(CellError(1, "", name, "the file's name does not end in .csv or .csv.gz", what_to_do))
        return BatchFile(run.extended(self.files.read(source)))

    def _read(self, file: BatchFile, batch: Batch, run: _Run, accept: Accept) -> _Read | None:
        """Process all rows after the checkpoint, or up to a cancellation of the batch. None if time ran short, but
        never before one line is read, and the payment of one row stored."""
        progress = batch.progress

        def read_from(start: int) -> Iterator[bytes]:
            return run.extended(self.files.read(batch.source, start))

        rows = file.rows(progress, read_from=read_from, stop=run.is_short_of_time)
        placed = ((row, file.line, file.offset) for row in rows)
        with ThreadPoolExecutor(self.workers) as pool:
            for number, window in enumerate(batched(placed, ROWS_A_WINDOW)):
                # the rows of the first window may be stored already, by a run that stopped before its checkpoint
                if number and self.batches.switch_of(batch.batch_id).is_canceled:
                    return _Read(progress, (_unread_from(window[0][0].line),))
                left: Sequence[_Placed] = window
                while left:
                    before = progress.rows_read
                    progress = self._window(pool, batch.batch_id, left, progress, run, accept)
                    left = left[progress.rows_read - before :]
                    if left and run.seconds_left() < RESERVE_SECONDS:
                        run.save(progress, release=True)
                        return None
                    run.save(progress)
        progress = replace(progress, line=file.line, offset=file.offset)  # with the blank lines behind the last row
        if file.is_complete:
            return _Read(progress)
        run.save(progress, release=True)
        return None

    def _window(
        self,
        pool: ThreadPoolExecutor,
        batch_id: str,
        window: Sequence[_Placed],
        progress: Progress,
        run: _Run,
        accept: Accept,
    ) -> Progress:
        """Process the rows up to the first that was not stored in time. The rows behind it are to be repeated."""
        rows = [row for row, _, _ in window if isinstance(row, Row)]
        stored = self._store(pool, rows, run, accept)
        refused: list[RejectedRow] = []
        submitted: list[ResultRow] = []
        queued: list[QueuedPayment] = []
        done = 0
        for row, _, _ in window:
            if isinstance(row, RejectedRow):
                refused.append(row)
            elif row.line not in stored:
                break
            elif (outcome := stored[row.line]) is None:
                queued.append(queued_payment(row.request.payment_id, batch_id, row.line))
            elif isinstance(outcome, RejectedRow):
                refused.append(outcome)
            else:
                submitted.append(outcome)
            done += 1
        messages = list(batched(queued, MESSAGES_A_REQUEST))
        shares = filter(None, (messages[i :: self.workers] for i in range(self.workers)))
        work = [pool.submit(self._send, share) for share in shares]
        if refused or submitted:
            work.append(pool.submit(self.batches.add_rows, batch_id, [*refused, *submitted]))
        run.wait_for(work)
        _, line, offset = window[done - 1]
        return replace(
            progress,
            line=line,
            offset=offset,
            rows_read=progress.rows_read + done,
            rows_accepted=progress.rows_accepted + done - len(refused),
            rows_rejected=progress.rows_rejected + len(refused),
            already_submitted=progress.already_submitted + len(submitted),
        )

    def _send(self, messages: Sequence[Sequence[QueuedPayment]]) -> None:
        for message in messages:
            self.queue.send(message)

    def _store(
        self, pool: ThreadPoolExecutor, rows: Sequence[Row], run: _Run, accept: Accept
    ) -> dict[int, ResultRow | RejectedRow | None]:
        """Store the rows' payments, several at a time, until it is late, and return the outcomes by line. The first row
        is always stored. Rows with the same payment_id are stored one after another."""
        store_until = max(STORE_RESERVE_SECONDS, run.seconds_left() - WINDOW_SECONDS)
        shares: list[list[Row]] = [[] for _ in range(self.workers)]
        share_of: dict[str, list[Row]] = {}
        for number, row in enumerate(rows):
            share_of.setdefault(row.request.payment_id, shares[number % self.workers]).append(row)
        stored: dict[int, ResultRow | RejectedRow | None] = {}

        def store_all(share: list[Row]) -> None:
            at = self.clock()
            for row in share:
                if row is not rows[0] and (run.is_lost or run.seconds_left() < store_until):
                    break
                stored[row.line] = accept(row, at)

        run.wait_for([pool.submit(store_all, share) for share in shares if share])
        return stored


def _unread_from(line: int) -> CellError:
    """The error of a canceled batch, for this row and all after it. One write stores it with the end of the split: a
    run that is repeated may read further than the one before."""
    reason = "the batch was canceled; this row and the following rows were not read"
    return CellError(line, "", "", reason, "upload the rows from this line on as another file, to pay them")
