"""Benchmark of the backup: `python -m local.bench.backup` backs up 300,000 rows of the payments table.

The real run reads pages of a megabyte that are made as they are read, and its parts are hashed and dropped: the
measured memory is the backup's own. A bare loop that reads the same pages and calls `json.dumps` for each row is beside
it. Each runs in its own process. The memory is the peak above the memory before the first row.
"""

import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from local.bench.split import in_new_process, measured
from payments.application.backup import SEGMENTS, BackupRun
from payments.application.read_rate import ReadRate
from payments.domain.backup import Origin, Row
from payments.domain.clock import utc_now
from payments.ports.backup_store import NoSuchObject
from payments.ports.table_source import Page

ROWS = 300_000
ROWS_A_PAGE = 800
"""DynamoDB returns a megabyte at a time, and the row of a payment has some 1.3 KB."""
MEMORY_LIMIT_MIB = 128
_HISTORY = [
    {"M": {"status": {"S": status}, "at": {"S": "2026-12-01T12:00:00.000Z"}, "actor": {"S": actor}}}
    for status, actor in (("pending", "rest"), ("processing", "charge"), ("succeeded", "workflow"))
]
_SEALED = "sealed.v1." + "QUJD" * 40


def _row(number: int) -> Row:
    texts = {
        "payment_id": f"pay_{number:012}",
        "customer_id": f"cus_{number % 1000}",
        "status": "succeeded",
        "currency": "EUR",
        "payment_method": f"{_SEALED}{number}",
        "metadata": _SEALED,
        "fingerprint": f"{number:064x}",
        "gateway_reference": f"pi_{number:024}",
        "created_at": "2026-12-01T12:00:00.000Z",
        "updated_at": "2026-12-01T12:00:01.000Z",
    }
    row: Row = {name: {"S": text} for name, text in texts.items()}
    return row | {"minor_units": {"N": str(number)}, "version": {"N": "3"}, "history": {"L": _HISTORY}}


class TableOfRows:
    """A table whose rows are made as they are read."""

    def page(self, table: str, segment: int, segments: int, after: Row | None = None) -> Page:  # noqa: ARG002
        """The next rows of a share of the table."""
        share = ROWS // segments
        start = int(after["n"]["N"]) if after else 0
        end = min(start + ROWS_A_PAGE, share)
        rows = [_row(segment * share + number) for number in range(start, end)]
        return Page(rows, {"n": {"N": str(end)}} if end < share else None, len(rows))


class NoBucket:
    """Takes parts and drops them."""

    def put(self, key: str, content: bytes) -> None:
        """Drop an object."""

    def get(self, key: str) -> bytes:
        """Nothing is stored."""
        raise NoSuchObject(key)

    def timestamps(self) -> list[str]:
        """Nothing is stored."""
        return []


def _backup(_: Path) -> int:
    manifest = BackupRun(
        source=TableOfRows(),
        store=NoBucket(),
        origin=Origin("0123456789abcdef", "bench", "us-east-1", "code", "schema", {}),
        tables=["payments"],
        left_out={},
        clock=utc_now,
        rate=ReadRate(1e12, lambda: 0.0, lambda _: None),
        continue_later=lambda _: None,
    ).run("", "bench", lambda: 900)
    return manifest.tables[0].rows if manifest else 0


def _bare(_: Path) -> int:
    table, read = TableOfRows(), 0
    after: Row | None = None
    for segment in range(SEGMENTS):
        while True:
            page = table.page("payments", segment, SEGMENTS, after)
            for row in page.rows:
                json.dumps(row)
            read += len(page.rows)
            after = page.next_key
            if after is None:
                break
    return read


WAYS: dict[str, Callable[[Path], int]] = {"bare loop": _bare, "backup": _backup}


def main() -> int:
    """Print the table. Returns 1 if the backup used too much memory."""
    with tempfile.TemporaryDirectory() as folder:
        runs = {name: in_new_process("local.bench.backup", name, Path(folder)) for name in WAYS}
    print(f"a backup of {ROWS:,} rows of payments, CPU time")  # noqa: T201
    print(f"{'':24}{'rows/s':>10}{'ratio':>12}{'memory above idle':>20}")  # noqa: T201
    for name, run in runs.items():
        ratio = f"{runs['bare loop']['seconds'] / run['seconds']:.2f}"
        print(f"{name:24}{ROWS / run['seconds']:>10,.0f}{ratio:>12}{run['mib']:>16.1f} MiB")  # noqa: T201
    within = runs["backup"]["mib"] < MEMORY_LIMIT_MIB
    print(f"backup under {MEMORY_LIMIT_MIB} MiB above idle: {'yes' if within else 'NO'}")  # noqa: T201
    return 0 if within else 1


if __name__ == "__main__":
    if sys.argv[1:]:
        print(json.dumps(measured(WAYS[sys.argv[1]], Path(sys.argv[2]), ROWS)))  # noqa: T201
    else:
        sys.exit(main())
