"""The result files of a batch as CSV, safe to open in a spreadsheet."""

import csv
import re
from collections.abc import Iterable
from dataclasses import astuple, fields
from io import TextIOWrapper
from tempfile import TemporaryFile
from typing import BinaryIO

from payments.domain.batch.errors import CellError
from payments.domain.batch.state import ResultRow
from payments.domain.card_data import without_card_numbers

RESULTS, ERRORS, RESUBMIT = "results.csv", "errors.csv", "resubmit.csv"
_FORMULA = re.compile(r"[=+\-@\t\r]")
_NUMBER = re.compile(r"[+-]?[0-9.]+", re.ASCII)


class ResultFile:
    """A CSV file that is written to a temporary file on disk. A report of a million rows needs no memory."""

    def __init__(self, header: Iterable[str]) -> None:
        self._file = TemporaryFile("w+b")  # noqa: SIM115 (closed by `content`'s reader, or when it is dropped)
        # cells of a file that is not UTF-8 are written as the bytes that were read
        self._text = TextIOWrapper(self._file, encoding="utf-8", errors="surrogateescape", newline="")
        self._writer = csv.writer(self._text)
        self.add(header)

    def add(self, cells: Iterable[object]) -> None:
        """Write a row. No cell can be interpreted as a formula."""
        self._writer.writerow([_harmless(str(cell)) for cell in cells])

    def content(self) -> BinaryIO:
        """The finished file, positioned at its start."""
        self._text.flush()
        self._file.seek(0)
        return self._file


class ResultFiles:
    """The three files: the results of accepted rows, the errors of rejected rows, and the rejected rows to resubmit."""

    def __init__(self, source_header: Iterable[str]) -> None:
        self._results = ResultFile(field.name for field in fields(ResultRow))
        self._errors = ResultFile(("line", "column", "payment_id", "value", "reason", "what_to_do"))
        self._resubmit = ResultFile(source_header)

    def add_result(self, row: ResultRow) -> None:
        """Add a line to results.csv."""
        self._results.add(astuple(row))

    def add_error(self, error: CellError, payment_id: str = "") -> None:
        """Add a line to errors.csv."""
        self._errors.add((error.line, error.column, payment_id, error.value, error.reason, error.what_to_do))

    def add_resubmit(self, cells: Iterable[str]) -> None:
        """Add a line to resubmit.csv: a rejected row as uploaded, without card numbers."""
        self._resubmit.add(without_card_numbers(cell) for cell in cells)

    def files(self) -> dict[str, BinaryIO]:
        """The finished files: name → content."""
        return {
            RESULTS: self._results.content(),
            ERRORS: self._errors.content(),
            RESUBMIT: self._resubmit.content(),
        }


def _harmless(cell: str) -> str:
    """Prefix a cell that looks like a formula with an apostrophe (OWASP, "CSV Injection"). Numbers stay unchanged."""
    return f"'{cell}" if _FORMULA.match(cell) and not _NUMBER.fullmatch(cell) else cell
