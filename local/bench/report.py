"""Benchmark of the report: `python -m local.bench.report` reports a batch of 1,000,000 payments with their outcomes.

The real report runs against stores that read their rows from disk: the measured memory is the report's own. It is
stopped after every 300,000 rows, and continued by the next run. A bare loop of `csv.reader` and `csv.writer` over the
same payments is beside it. Each runs in its own process. The memory is the peak above the memory before the first row.
"""

import csv
import json
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from functools import partial
from itertools import count
from pathlib import Path

from fakes.batches import MemoryBatchStore
from fakes.field_encryptor import MemoryFieldEncryptor
from fakes.payments import MemoryPaymentStore
from local.bench.split import FileOnDisk, in_new_process, measured, write_csv
from payments.application.batch.report import RESERVE_SECONDS, Reporter
from payments.domain.batch.errors import CellError, RejectedRow
from payments.domain.batch.report import FileParts, ResultFile
from payments.domain.batch.state import Batch, BatchStatus, Progress, ResultRow, Source
from payments.domain.clock import iso, utc_now
from payments.domain.money import Money
from payments.domain.payment import Payment
from payments.domain.statuses import Status
from payments.ports.batch_store import Claim

ROWS = 1_000_000
ROWS_A_RUN = 300_000
MEMORY_LIMIT_MIB = 128
_REJECTED = 99
"""The invalid row of each hundred of `write_csv`."""


class PaymentsOnDisk(MemoryPaymentStore):
    """A payments table whose rows are in a CSV file: line, id, minor units."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self._file = file

    def of_batch(self, batch_id: str, after: int = 0) -> Iterator[Payment]:
        """The payments after a line."""
        with self._file.open(newline="") as rows:
            for line, payment_id, minor_units in csv.reader(rows):
                if int(line) > after:
                    yield _payment(batch_id, int(line), payment_id, int(minor_units))


class BatchesOnDisk(MemoryBatchStore):
    """A processing-status table that computes its rejected rows."""

    def rows(self, batch_id: str, after: int = 0) -> Iterator[RejectedRow | ResultRow]:  # noqa: ARG002
        """The rejected rows after a line."""
        for n in range(_REJECTED, ROWS, 100):
            if n + 2 > after:
                error = CellError(n + 2, "amount", "'12.345'", "USD has 2 decimals", "write 12.35")
                yield RejectedRow(n + 2, f"pay_{n:08d}", (error,))


class BucketOnDisk(FileOnDisk):
    """A folder in place of the bucket. Parts are files of their own."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._folder = folder
        self._numbers = count(1)
        self.result_bytes = 0

    def add_part(self, source: Source, name: str, parts: FileParts, content: bytes) -> FileParts:  # noqa: ARG002
        """Write the part to disk."""
        self.parts_uploaded += 1
        self.result_bytes += len(content)
        self._store_on_disk(content)
        return replace(parts, upload_id=name, etags=(*parts.etags, "etag"))

    def finish(self, source: Source, name: str, parts: FileParts, rest: bytes) -> ResultFile:  # noqa: ARG002
        """Write the rest to disk."""
        self.result_bytes += len(rest)
        return ResultFile(self._store_on_disk(rest))

    def save_tails(self, source: Source, content: bytes) -> str:  # noqa: ARG002
        """Write the content to disk, and return its path."""
        return self._store_on_disk(content)

    def read_tails(self, source: Source, key: str) -> bytes:  # noqa: ARG002
        """The content of a path."""
        return Path(key).read_bytes()

    def _store_on_disk(self, content: bytes) -> str:
        path = self._folder / f"stored-{next(self._numbers)}"
        path.write_bytes(content)
        return str(path)


def main() -> int:
    """Print the table. Returns 1 if the report used too much memory."""
    with tempfile.TemporaryDirectory() as folder:
        write_csv(Path(folder) / "bench.csv", ROWS)
        write_payments(Path(folder) / "payments.csv")
        runs = {name: in_new_process("local.bench.report", name, Path(folder)) for name in WAYS}
    print(f"a report of {ROWS:,} rows, stopped after every {ROWS_A_RUN:,}, CPU time")  # noqa: T201
    print(f"{'':24}{'rows/s':>10}{'ratio':>12}{'memory above idle':>20}")  # noqa: T201
    bare_seconds = runs["bare csv loop"]["seconds"]
    for name, run in runs.items():
        ratio = f"{bare_seconds / run['seconds']:.2f}"
        print(f"{name:24}{ROWS / run['seconds']:>10,.0f}{ratio:>12}{run['mib']:>16.1f} MiB")  # noqa: T201
    within = runs["report"]["mib"] < MEMORY_LIMIT_MIB
    print(f"report under {MEMORY_LIMIT_MIB} MiB above idle: {'yes' if within else 'NO'}")  # noqa: T201
    return 0 if within else 1


def write_payments(file: Path) -> None:
    """Write the payments of the rows that `write_csv` makes valid."""
    with file.open("w", newline="") as out:
        writer = csv.writer(out)
        for n in range(ROWS):
            if n % 100 != _REJECTED:
                writer.writerow([n + 2, f"pay_{n:08d}", (n % 900 + 1) * 100 + n % 100])


def report(folder: Path) -> int:
    """Run the whole report. Returns the number of rows reported."""
    file, now = folder / "bench.csv", utc_now()
    payments = PaymentsOnDisk(folder / "payments.csv")
    batches, bucket = BatchesOnDisk(payments), BucketOnDisk(folder)
    source = Source("", str(file), "v1", "", file.stat().st_size)
    rejected = ROWS // 100
    progress = Progress(ROWS + 1, ROWS, ROWS - rejected, rejected)
    batch = Batch(source.batch_id, source, BatchStatus.SPLITTING, iso(now), iso(now), rows_closed=ROWS - rejected)
    batches.claim_split(batch, Claim("bench", now, now + timedelta(hours=1)))
    batches.finish_split(batch.batch_id, "bench", progress, now)
    reporter = Reporter(payments, batches, bucket, lambda _: None, utc_now, lambda _: None, MemoryFieldEncryptor())
    runs, done = 0, None
    while done is None or done.status is BatchStatus.REPORTING:
        runs += 1
        done = reporter.report(batch.batch_id, owner="bench", seconds_left=partial(_seconds_left, count()))
    if runs < ROWS // ROWS_A_RUN or bucket.result_bytes < ROWS:
        raise RuntimeError(f"{runs} runs reported {bucket.result_bytes} bytes")
    return sum(done.by_status.values()) + done.progress.rows_rejected


def copy(folder: Path) -> int:
    """A bare loop: no merge, no checkpoint, no check of a cell. Returns the number of rows of the batch."""
    with (folder / "payments.csv").open(newline="") as rows, (folder / "copied.csv").open("w", newline="") as out:
        writer = csv.writer(out)
        copied = 0
        for line, payment_id, minor_units in csv.reader(rows):
            writer.writerow([line, payment_id, int(minor_units) / 100, "USD", "succeeded", "", "", "pi_1", ""])
            copied += 1
    return copied + ROWS // 100


WAYS: dict[str, Callable[[Path], int]] = {"report": report, "bare csv loop": copy}


def _payment(batch_id: str, line: int, payment_id: str, minor_units: int) -> Payment:
    return Payment(
        payment_id,
        Money(minor_units, "USD"),
        Status.SUCCEEDED,
        3,
        "",
        "",
        "",
        "batch",
        batch_id=batch_id,
        batch_line=line,
        gateway_reference="pi_3QbEnChMaRk0000000000001",
        batch_row_closed=True,
    )


def _seconds_left(calls: Iterator[int]) -> float:
    """Time that ends after ROWS_A_RUN questions about it: one for each row."""
    return 900.0 if next(calls) < ROWS_A_RUN else RESERVE_SECONDS - 1


if __name__ == "__main__":
    if sys.argv[1:]:
        print(json.dumps(measured(WAYS[sys.argv[1]], Path(sys.argv[2]), ROWS)))  # noqa: T201
    else:
        sys.exit(main())
