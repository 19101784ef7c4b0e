"""Benchmark of the splitter: `python -m local.bench.split` splits a CSV file of 200,000 rows.

The real splitter runs against stores and a queue that discard their data: the measured memory is the splitter's own.
The same run compares it with its parser alone, and with `csv.DictReader` and a pydantic model on the same file. Each
runs in its own process, in turns. The memory is the peak above the memory before the file is opened.
"""

import csv
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from decimal import Decimal
from functools import partial
from pathlib import Path

from pydantic import BaseModel, Field, ValidationError

from fakes.batch_files import MemoryBatchFiles
from fakes.batches import MemoryBatchStore
from fakes.customers import MemoryCustomerStore
from fakes.payments import MemoryPaymentStore
from local.bench.memory import forget_peak, peak_mib
from payments.application.batch.close_rows import BatchRows
from payments.application.batch.file import BatchFile
from payments.application.batch.row_rules import rules_of
from payments.application.batch.split import Splitter
from payments.application.id_rules import IdRules
from payments.domain.batch.errors import RejectedRow
from payments.domain.batch.state import ResultRow, Source
from payments.domain.clock import utc_now
from payments.domain.merchants import Merchants
from payments.domain.payment import Payment
from payments.ports.payment_queue import QueuedPayment

ROWS = 200_000
MEMORY_LIMIT_MIB = 64
ROUNDS = 3
_CHUNK_BYTES = 64 * 1024


class ForgetfulPayments(MemoryPaymentStore):
    """A payments table that accepts every payment and stores none."""

    def create(self, payment: Payment) -> None:
        """Accept the payment and keep nothing of it."""


class ForgetfulBatches(MemoryBatchStore):
    """A processing-status table that stores the batch and discards its rows."""

    def add_rows(self, batch_id: str, rows: Sequence[RejectedRow | ResultRow]) -> None:
        """Accept the rows and keep nothing of them."""


class CountingQueue:
    """A queue that counts its messages."""

    def __init__(self) -> None:
        self.messages = 0

    def send(self, payments: Sequence[QueuedPayment]) -> None:
        """Count the messages and drop them."""
        self.messages += len(payments)

    def length(self) -> int:
        """The number of sent messages."""
        return self.messages


class FileOnDisk(MemoryBatchFiles):
    """A folder in place of the bucket."""

    def read(self, source: Source, start: int = 0) -> Iterator[bytes]:
        """Read the file in chunks. The source's key is its path."""
        return _chunks(Path(source.key), start)


def main() -> int:
    """Print the table. Returns 1 if the splitter used too much memory."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "bench.csv"
        write_csv(file, ROWS)
        print(f"{ROWS:,} rows, {file.stat().st_size / 2**20:.1f} MiB, CPU time, best of {ROUNDS}")  # noqa: T201
        best = _best(file)
    reference_seconds = best["DictReader + pydantic"][0]
    print(f"{'':24}{'rows/s':>10}{'ratio':>12}{'memory above idle':>20}")  # noqa: T201
    for name, (seconds, mib) in best.items():
        ratio = f"{reference_seconds / seconds:.2f}"
        print(f"{name:24}{ROWS / seconds:>10,.0f}{ratio:>12}{mib:>16.1f} MiB")  # noqa: T201
    within = best["splitter"][1] < MEMORY_LIMIT_MIB
    print(f"splitter under {MEMORY_LIMIT_MIB} MiB above idle: {'yes' if within else 'NO'}")  # noqa: T201
    return 0 if within else 1


def write_csv(file: Path, rows: int) -> None:
    """Write a typical export of a shop: every tenth description is quoted, every hundredth row is invalid."""
    with file.open("w", newline="") as out:
        writer = csv.writer(out)
        writer.writerow(["payment_id", "amount", "currency", "customer_id", "payment_method", "description"])
        for n in range(rows):
            amount = "12.345" if n % 100 == 99 else f"{n % 900 + 1}.{n % 100:02d}"
            text = f"Order {n}, gift wrapped" if n % 10 == 0 else f"Order {n}"
            writer.writerow([f"pay_{n:08d}", amount, "USD", f"cus_{n % 5000}", "pm_card_visa", text])


def split(file: Path) -> int:
    """Run the whole splitter. Returns the number of rows read."""
    payments = ForgetfulPayments()
    batches, queue = ForgetfulBatches(payments), CountingQueue()
    splitter = Splitter(
        payments=payments,
        batches=batches,
        queue=queue,
        files=FileOnDisk(),
        rows=BatchRows(batches, lambda _: None),
        continue_later=lambda _: None,
        rules_of=partial(rules_of, ids=IdRules(Merchants(), payments, MemoryCustomerStore())),
        clock=utc_now,
    )
    source = Source("", str(file), "v1", "", file.stat().st_size)
    batch = splitter.split(source, owner="bench", seconds_left=timedelta(hours=1).total_seconds)
    if batch is None or queue.messages != batch.progress.rows_accepted:
        raise RuntimeError("the split of the benchmark file failed")
    return batch.progress.rows_read


def parse(file: Path) -> int:
    """Run only the parser, with all checks of a row."""
    return sum(1 for _ in BatchFile(_chunks(file)).rows())


class PydanticRow(BaseModel):
    """A row with pydantic's validation."""

    payment_id: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$")
    amount: Decimal = Field(gt=0, max_digits=10, decimal_places=2)
    currency: str = Field(pattern="^[A-Z]{3}$")
    customer_id: str = Field("", max_length=64)
    payment_method: str = Field("", max_length=128)
    description: str = Field("", max_length=500)


def cells(file: Path) -> int:
    """Read only the cells, as the report does."""
    return sum(1 for _ in BatchFile(_chunks(file)).cells())


def read_cells(file: Path) -> int:
    """The same with the standard library."""
    with file.open(newline="", encoding="utf-8") as text:
        return sum(1 for _ in csv.DictReader(text))


def read_with_pydantic(file: Path) -> int:
    """A simple implementation: one invalid byte ends it, one open quote hides rows, and card numbers are accepted."""
    count = 0
    with file.open(newline="", encoding="utf-8") as text:
        for row in csv.DictReader(text):
            count += 1
            try:
                PydanticRow.model_validate(row)
            except ValidationError:
                continue
    return count


WAYS: dict[str, Callable[[Path], int]] = {
    "splitter": split,
    "its parser": parse,
    "its cells, unchecked": cells,
    "DictReader": read_cells,
    "DictReader + pydantic": read_with_pydantic,
}


def _best(file: Path) -> dict[str, tuple[float, float]]:
    """The shortest time and the highest memory above idle (MiB) of ROUNDS runs of each way, in turns: other work on the
    machine meets all of them."""
    rounds = [{name: in_new_process("local.bench.split", name, file) for name in WAYS} for _ in range(ROUNDS)]
    return {
        name: (min(runs[name]["seconds"] for runs in rounds), max(runs[name]["mib"] for runs in rounds))
        for name in WAYS
    }


def in_new_process(module: str, name: str, file: Path) -> dict[str, float]:
    """What a module measures of one of its ways."""
    child = subprocess.run([sys.executable, "-m", module, name, str(file)], check=True, capture_output=True, text=True)
    measures: dict[str, float] = json.loads(child.stdout)
    return measures


def measured(way: Callable[[Path], int], file: Path, rows: int) -> dict[str, float]:
    """The seconds of CPU time that a way takes, which other work on the machine changes little, and its peak of memory
    above idle in MiB. It must read this number of rows."""
    forget_peak()
    idle_mib = peak_mib()
    started = time.process_time()
    if (read := way(file)) != rows:
        raise RuntimeError(f"{read} of {rows} rows were read")
    return {"seconds": time.process_time() - started, "mib": peak_mib() - idle_mib}


def _chunks(file: Path, start: int = 0) -> Iterator[bytes]:
    with file.open("rb") as content:
        content.seek(start)
        while chunk := content.read(_CHUNK_BYTES):
            yield chunk


if __name__ == "__main__":
    if sys.argv[1:]:
        print(json.dumps(measured(WAYS[sys.argv[1]], Path(sys.argv[2]), ROWS)))  # noqa: T201
    else:
        sys.exit(main())
