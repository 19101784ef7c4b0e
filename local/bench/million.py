"""Benchmark of a large file: `python -m local.bench.million` splits a CSV file of a million rows.

The real splitter runs against stores that keep all payments, rows and messages on disk: the measured memory is the
splitter's own. The same run compares it with `csv.DictReader` and a pydantic model on the same file. Each runs in its
own process.
"""

import json
import pickle
import sqlite3
import sys
import tempfile
from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import partial
from pathlib import Path
from threading import Lock

from fakes.batches import MemoryBatchStore
from fakes.customers import MemoryCustomerStore
from fakes.payments import MemoryPaymentStore
from local.bench.split import FileOnDisk, in_new_process, measured, read_with_pydantic, write_csv
from payments.application.batch.close_rows import BatchRows
from payments.application.batch.row_rules import rules_of
from payments.application.batch.split import Splitter
from payments.application.id_rules import IdRules
from payments.domain.batch.errors import RejectedRow
from payments.domain.batch.state import ResultRow, Source
from payments.domain.clock import utc_now
from payments.domain.merchants import Merchants
from payments.domain.payment import Payment
from payments.ports.payment_queue import QueuedPayment
from payments.ports.payment_store import AlreadyExists

ROWS = 1_000_000
MEMORY_LIMIT_MIB = 128


class Disk:
    """A database file with the payments, the rows set aside and the messages."""

    def __init__(self, path: Path) -> None:
        self._lock = Lock()
        self._database = sqlite3.connect(path, check_same_thread=False)
        self._database.execute("PRAGMA synchronous = OFF")
        for table in ("payments", "rows", "messages"):
            self._database.execute(f"CREATE TABLE {table} (key PRIMARY KEY, content BLOB) WITHOUT ROWID")

    def add(self, table: str, key: str, content: object) -> bool:
        """Store under a new key. False if there is something already."""
        values = (key, pickle.dumps(content))
        with self._lock:
            return bool(
                self._database.execute(f"INSERT OR IGNORE INTO {table} VALUES (?, ?)", values).rowcount  # noqa: S608
            )

    def get(self, table: str, key: str) -> object:
        """What is stored under a key."""
        with self._lock:
            found = self._database.execute(f"SELECT content FROM {table} WHERE key = ?", (key,))  # noqa: S608
            return pickle.loads(found.fetchone()[0])  # noqa: S301 (our own)

    def count(self, table: str) -> int:
        """The number of keys."""
        return int(self._database.execute(f"SELECT count(*) FROM {table}").fetchone()[0])  # noqa: S608


class DiskPayments(MemoryPaymentStore):
    """A payments table on disk."""

    def __init__(self, disk: Disk) -> None:
        super().__init__()
        self._disk = disk

    def create(self, payment: Payment) -> None:
        """Store the payment. Raises AlreadyExists."""
        if not self._disk.add("payments", payment.payment_id, payment):
            existing = self._disk.get("payments", payment.payment_id)
            if isinstance(existing, Payment):
                raise AlreadyExists(existing)


class DiskBatches(MemoryBatchStore):
    """A processing-status table whose rows are on disk."""

    def __init__(self, payments: DiskPayments, disk: Disk) -> None:
        super().__init__(payments)
        self._disk = disk

    def add_rows(self, batch_id: str, rows: Sequence[RejectedRow | ResultRow]) -> None:
        """Store the rows."""
        for row in rows:
            self._disk.add("rows", f"{batch_id}/{row.line}", row)


class DiskQueue:
    """A queue on disk."""

    def __init__(self, disk: Disk) -> None:
        self._disk = disk

    def send(self, payments: Sequence[QueuedPayment]) -> None:
        """Store the messages."""
        for payment in payments:
            self._disk.add("messages", payment.payment_id, payment)

    def length(self) -> int:
        """The number of messages."""
        return self._disk.count("messages")


def split(file: Path) -> int:
    """Split the file, and check that nothing is missing. Returns the number of rows read."""
    disk = Disk(file.with_suffix(".db"))
    payments = DiskPayments(disk)
    batches = DiskBatches(payments, disk)
    splitter = Splitter(
        payments=payments,
        batches=batches,
        queue=DiskQueue(disk),
        files=FileOnDisk(),
        rows=BatchRows(batches, lambda _: None),
        continue_later=lambda _: None,
        rules_of=partial(rules_of, ids=IdRules(Merchants(), payments, MemoryCustomerStore())),
        clock=utc_now,
    )
    source = Source("", str(file), "v1", "", file.stat().st_size)
    batch = splitter.split(source, owner="bench", seconds_left=timedelta(hours=1).total_seconds)
    accepted, rejected = disk.count("payments"), disk.count("rows")
    if batch is None or accepted != batch.progress.rows_accepted or accepted != disk.count("messages"):
        raise RuntimeError(f"the split of the benchmark file failed: {accepted} payments, {batch}")
    return accepted + rejected


WAYS: dict[str, Callable[[Path], int]] = {"splitter, on disk": split, "DictReader + pydantic": read_with_pydantic}


def main() -> int:
    """Print the table. Returns 1 if the splitter used too much memory."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "million.csv"
        write_csv(file, ROWS)
        print(f"{ROWS:,} rows, {file.stat().st_size / 2**20:.1f} MiB, CPU time, one run")  # noqa: T201
        runs = {name: in_new_process("local.bench.million", name, file) for name in WAYS}
    reference_seconds = runs["DictReader + pydantic"]["seconds"]
    for name, run in runs.items():
        ratio = f"{reference_seconds / run['seconds']:.2f}"
        print(f"{name:24}{ROWS / run['seconds']:>10,.0f}{ratio:>12}{run['mib']:>16.1f} MiB")  # noqa: T201
    within = runs["splitter, on disk"]["mib"] < MEMORY_LIMIT_MIB
    print(f"splitter under {MEMORY_LIMIT_MIB} MiB above idle: {'yes' if within else 'NO'}")  # noqa: T201
    return 0 if within else 1


if __name__ == "__main__":
    if sys.argv[1:]:
        print(json.dumps(measured(WAYS[sys.argv[1]], Path(sys.argv[2]), ROWS)))  # noqa: T201
    else:
        sys.exit(main())
