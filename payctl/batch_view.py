"""Display of a batch: live progress, then totals, rejected rows and result files."""

import time
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.text import Text

from payctl import adapters, batch_files, show
from payctl.deadline import Deadline
from payctl.failures import Exit, Failure
from payctl.stack import Stack
from payments.domain.batch.errors import RejectedRow
from payments.domain.batch.state import UNREPORTED, Batch, BatchStatus, Source

POLL_SECONDS = 0.5
START_SECONDS = 60
"""S3 notifies the split function within seconds. A longer wait means that the notification or the function failed."""
REJECTED_SHOWN = 20
DOING = {
    BatchStatus.SPLITTING: "reading the file",
    BatchStatus.PROCESSING: "charging",
    BatchStatus.REPORTING: "writing the result files",
}


def watched(stack: Stack, batch_id: str, timeout_seconds: float) -> tuple[Batch, str]:
    """Show progress on standard error until the batch ends or makes no progress for `timeout_seconds`.

    Returns the batch, and why the watch ended before it: "" if it ended. Raises Failure if the batch does not start.
    """
    deadline = Deadline(timeout_seconds, f"the result files of batch {batch_id}")
    with Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed}/{task.fields[rows]} rows"),
        TimeElapsedColumn(),
        console=show.err,
    ) as progress:
        task = progress.add_task("waiting for processing to start", total=None, rows="?")
        while True:
            batch = batch_files.get(stack, batch_id)
            over = deadline.over(batch and progress_of(batch))
            if batch is None:
                if over or deadline.waited > START_SECONDS:
                    raise _not_started(stack, batch_id, deadline.waited)
            else:
                _advance(progress, task, batch, held_by(stack, batch))
                if batch.status not in DOING or over:
                    return batch, deadline.report if batch.status in DOING else ""
            time.sleep(POLL_SECONDS)


def progress_of(batch: Batch) -> str:
    """How far a batch is. Without `updated_at`: recovery moves it each time that it checks the batch."""
    reported = f", reported to line {batch.report.line}" if batch.report.line else ""
    return f"{batch.status}, {_done(batch)} of {batch.progress.rows_read} rows{reported}"


def _done(batch: Batch) -> int:
    return batch.rows_closed + batch.progress.rows_rejected + batch.progress.already_submitted


def held_by(stack: Stack, batch: Batch) -> str:
    """What keeps the payments of an unfinished batch from starting, in a sentence; "" if nothing does."""
    if batch.status not in UNREPORTED:
        return ""
    switch = batch.switch
    if switch.is_canceled:
        return (
            f"canceled by {switch.by} at {switch.at}; it is complete when the payments that were sent have an outcome"
        )
    if switch.holds:
        return f"paused by {switch.by} since {switch.at}; resume it with: payctl batch resume {batch.batch_id}"
    breaker = adapters.breaker(stack).state()
    if breaker.paused:
        return f"the batch breaker has been paused since {breaker.since} ({breaker.reason}): payctl breaker status"
    return ""


def _advance(progress: Progress, task: Any, batch: Batch, held: str) -> None:
    read = batch.progress
    doing = "canceling" if batch.switch.is_canceled else "held" if held else DOING.get(batch.status, "")
    progress.update(
        task,
        description=doing if batch.status in UNREPORTED else DOING.get(batch.status, batch.status.value),
        completed=_done(batch),
        total=None if batch.status is BatchStatus.SPLITTING else max(1, read.rows_read),
        rows=read.rows_read,
    )


def _not_started(stack: Stack, batch_id: str, waited: float) -> Failure:
    return Failure(
        f"processing of batch {batch_id} in {stack.name} did not start within {waited:.0f} s",
        details=[
            f"check the id with: payctl batch list; check the log group /aws/lambda/payment-split-{stack.name}",
            f"the file is stored; continue waiting with: payctl batch show {batch_id} --watch",
        ],
        code=Exit.STILL_OPEN,
    )


def one(stack: Stack, batch: Batch, rejected: Sequence[RejectedRow], more: int) -> None:
    """Print a batch with its totals, its first rejected rows and the location of its result files."""
    read = batch.progress
    show.facts(
        [
            ("batch", batch.batch_id),
            ("file", f"s3://{batch.source.bucket}/{batch.source.key}"),
            ("merchant", batch.source.merchant or ""),
            ("uploaded by", batch.source.uploaded_by),
            ("status", _status(batch)),
            ("held", held_by(stack, batch)),
            ("rows read", read.rows_read),
            ("accepted", read.rows_accepted),
            ("rejected", read.rows_rejected),
            ("already submitted", read.already_submitted or ""),
            ("in progress", read.payments - batch.rows_closed or ""),
            *((f"→ {status}", count) for status, count in sorted(batch.by_status.items())),
            ("updated at", batch.updated_at),
            ("environment", stack.name),
        ]
    )
    errors = [*batch.file_errors, *(error for row in rejected for error in row.errors)]
    if errors:
        show.table(
            "rejected",
            ("line", "column", "value", "reason", "what to do"),
            [(error.line, error.column, error.value, error.reason, error.what_to_do) for error in errors],
        )
    if more:
        show.note(f"and {more} more rejected rows: see errors.csv")
    if batch.status not in DOING:
        for file in batch_files.result_files(batch).values():
            show.out.print(Text(show.safe(f"s3://{batch.source.bucket}/{file.key}")), soft_wrap=True)


def listing(stack: Stack, batches: Sequence[tuple[Source, Batch | None]]) -> None:
    """Print one line per uploaded file."""
    show.table(
        f"batches in {stack.name}",
        ("batch", "file", "status", "rows", "accepted", "rejected", "closed"),
        [
            (
                source.batch_id,
                source.file,
                _status(batch) if batch else Text("not started", "yellow"),
                *_counts(batch),
            )
            for source, batch in batches
        ],
    )


def as_json(batch: Batch, held: str = "") -> dict[str, Any]:
    """A batch as JSON for scripts."""
    results = batch_files.result_files(batch) if batch.status not in DOING else {}
    return {
        "batch_id": batch.batch_id,
        "status": batch.status.value,
        "bucket": batch.source.bucket,
        "key": batch.source.key,
        "merchant": batch.source.merchant or None,
        "uploaded_by": batch.source.uploaded_by or None,
        **{name: count for name, count in asdict(batch.progress).items() if name not in ("line", "offset")},
        "rows_closed": batch.rows_closed,
        "switch": asdict(batch.switch),
        "held": held,
        "by_status": dict(batch.by_status),
        "file_errors": [asdict(error) for error in batch.file_errors],
        "results": {name: file.key for name, file in results.items()},
        "result_versions": {name: file.version_id for name, file in results.items()},
        "created_at": batch.created_at,
        "updated_at": batch.updated_at,
    }


def listed_as_json(source: Source, batch: Batch | None) -> dict[str, Any]:
    """A line of `listing` as JSON: the batch, or only the file if processing has not started."""
    if batch:
        return as_json(batch)
    return {"batch_id": source.batch_id, "status": None, "bucket": source.bucket, "key": source.key}


def _status(batch: Batch) -> Text:
    colours = {BatchStatus.COMPLETED: "green", BatchStatus.REJECTED: "red", BatchStatus.CANCELED: "red"}
    return Text(batch.status.value, colours.get(batch.status, "yellow"))


def _counts(batch: Batch | None) -> tuple[object, ...]:
    if batch is None:
        return ("", "", "", "")
    read = batch.progress
    return (read.rows_read, read.rows_accepted, read.rows_rejected, batch.rows_closed)
