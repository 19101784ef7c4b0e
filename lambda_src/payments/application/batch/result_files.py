"""The result files of a batch as CSV, safe to open in a spreadsheet."""

import csv
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields, replace
from operator import attrgetter

from payments.domain.batch.errors import CellError
from payments.domain.batch.formulas import harmless
from payments.domain.batch.report import FileParts, ReportProgress
from payments.domain.batch.state import ResultRow
from payments.domain.card_data import without_card_numbers

RESULTS, ERRORS, RESUBMIT = "results.csv", "errors.csv", "resubmit.csv"
PART_BYTES = 8 * 1024 * 1024
"""The size from which the text of a file is uploaded as a part. S3 allows 10,000 parts of at least 5 MiB: 78 GiB."""
_RESULT_COLUMNS = [field.name for field in fields(ResultRow)]
_cells_of_result = attrgetter(*_RESULT_COLUMNS)


class _CsvFile:
    """A CSV file of which the parts so far are uploaded. `content` holds what follows them."""

    def __init__(self, parts: FileParts, content: bytes, header: Iterable[str] = ()) -> None:
        self.parts = parts
        self.content = bytearray(content)
        self._writer = csv.writer(self)
        if header:
            self.add(header)

    def add(self, cells: Iterable[object]) -> None:
        """Write a row. No cell can be interpreted as a formula."""
        self._writer.writerow([harmless(str(cell)) for cell in cells])

    def write(self, text: str) -> None:
        """Take a row from the writer. Cells of a file that is not UTF-8 are written as the bytes that were read."""
        self.content += text.encode("utf-8", "surrogateescape")


class ResultFiles:
    """The three files: the results of accepted rows, the errors of rejected rows, and the rows to resubmit.

    They begin with their headers, or continue after the last checkpoint, whose `tails` are the texts after the parts,
    one file after another. Only the text that is not uploaded yet is in memory.
    """

    def __init__(
        self, source_header: Iterable[str], progress: ReportProgress | None = None, tails: bytes = b""
    ) -> None:
        headers: dict[str, Iterable[str]] = {
            RESULTS: _RESULT_COLUMNS,
            ERRORS: ("line", "column", "payment_id", "value", "reason", "what_to_do"),
            RESUBMIT: source_header,
        }
        self._files: dict[str, _CsvFile] = {}
        self.line = 0
        self.by_status: Counter[str] = Counter()
        if not progress or not progress.line:
            self._files = {name: _CsvFile(FileParts(), b"", header) for name, header in headers.items()}
            return
        self.line, self.by_status = progress.line, Counter(progress.by_status)
        start = 0
        for name in headers:
            parts = progress.parts[name]
            self._files[name] = _CsvFile(parts, tails[start : start + parts.tail_bytes])
            start += parts.tail_bytes

    def add_result(self, row: ResultRow) -> None:
        """Add a line to results.csv, and count its status."""
        self._files[RESULTS].add(_cells_of_result(row))
        self.by_status[row.status] += 1

    def add_error(self, error: CellError, payment_id: str = "") -> None:
        """Add a line to errors.csv."""
        cells = (error.line, error.column, payment_id, error.value, error.reason, error.what_to_do)
        self._files[ERRORS].add(cells)

    def add_resubmit(self, cells: Iterable[str]) -> None:
        """Add a line to resubmit.csv: a row as uploaded, or under its retry's id, without card numbers."""
        self._files[RESUBMIT].add(without_card_numbers(cell) for cell in cells)

    @property
    def has_full_part(self) -> bool:
        """Whether a file has enough text for a part."""
        return any(len(file.content) >= PART_BYTES for file in self._files.values())

    def full_parts(self) -> Iterator[tuple[str, FileParts, bytes]]:
        """The files with enough text for a part: name, the parts before it, and the text. `uploaded` takes each up."""
        for name, file in self._files.items():
            if len(file.content) >= PART_BYTES:
                yield name, file.parts, bytes(file.content)

    def uploaded(self, name: str, parts: FileParts) -> None:
        """Forget the text of a file: its parts contain it now."""
        self._files[name].parts = parts
        self._files[name].content.clear()

    def rests(self) -> Mapping[str, tuple[FileParts, bytes]]:
        """The parts of each file and the text after them, by name."""
        return {name: (file.parts, bytes(file.content)) for name, file in self._files.items()}

    def progress(self) -> ReportProgress:
        """How far the files have come, without the key of the tails."""
        parts = {name: replace(file.parts, tail_bytes=len(file.content)) for name, file in self._files.items()}
        return ReportProgress(self.line, dict(self.by_status), parts)

    def tails(self) -> bytes:
        """The texts that are not uploaded, one file after another."""
        return b"".join(file.content for file in self._files.values())
