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
    """A CSV file in the making, in a temporary file on disk: a report of a million rows needs no memory."""

    def __init__(self, header: Iterable[str]) -> None:
        self._file = TemporaryFile("w+b")  # noqa: SIM115 (closed by `content`'s reader, or when it is dropped)
        # cells of a file that is not UTF-8 go out as the bytes they came in as
        self._text = TextIOWrapper(self._file, encoding="utf-8", errors="surrogateescape", newline="")
        self._writer = csv.writer(self._text)
        self.add(header)

    def add(self, cells: Iterable[object]) -> None:
        """Write a row, so that no cell is taken for a formula."""
        self._writer.writerow([_harmless(str(cell)) for cell in cells])

    def content(self) -> BinaryIO:
        """The finished file, from its start."""
        self._text.flush()
        self._file.seek(0)
        return self._file


class ResultFiles:
    """The three files: what became of every accepted row, what is wrong with the others, and those again."""

    def __init__(self, source_header: Iterable[str]) -> None:
        self._results = ResultFile(field.name for field in fields(ResultRow))
        self._errors = ResultFile(("line", "column", "payment_id", "value", "reason", "what_to_do"))
        self._resubmit = ResultFile(source_header)

    def add_result(self, row: ResultRow) -> None:
        """A line of results.csv."""
        self._results.add(astuple(row))

    def add_error(self, error: CellError, payment_id: str = "") -> None:
        """A line of errors.csv."""
        self._errors.add((error.line, error.column, payment_id, error.value, error.reason, error.what_to_do))

    def add_resubmit(self, cells: Iterable[str]) -> None:
        """A line of resubmit.csv: a refused row as it came, without card numbers."""
        self._resubmit.add(without_card_numbers(cell) for cell in cells)

    def files(self) -> dict[str, BinaryIO]:
        """Name → content, finished."""
        return {
            RESULTS: self._results.content(),
            ERRORS: self._errors.content(),
            RESUBMIT: self._resubmit.content(),
        }


def _harmless(cell: str) -> str:
    """A cell that starts like a formula gets an apostrophe, as OWASP advises ("CSV Injection"); numbers do not."""
    return f"'{cell}" if _FORMULA.match(cell) and not _NUMBER.fullmatch(cell) else cell
