"""A batch file: the header is checked first, then each row. Every error names its line and column."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from payments.application.batch.csv_decoding import MAX_FILE_BYTES, plain_text, plain_text_from
from payments.application.batch.ordinary_rows import ordinary_rows
from payments.application.batch.records import CutOff, Flaw, Record, Records, cells_of
from payments.domain.batch.errors import CellError, FileError, RejectedRow, masked
from payments.domain.batch.formulas import as_written
from payments.domain.batch.state import Progress
from payments.domain.card_data import card_data_in
from payments.domain.money import shown
from payments.domain.payment import (
    FIELDS,
    NO_CARD_DATA,
    PAYMENT_ID,
    REQUIRED_FIELDS,
    InvalidRequest,
    PaymentRequest,
    parse_request,
)
from payments.domain.token import TOKEN

MAX_ROWS = 1_000_000
_ROWS_A_GLANCE = 64
"""Rows whose check for ordinary ones is one. A row that is not costs its group a check of each."""
END = MAX_FILE_BYTES + 1
"""The offset after a row that says why the rest of the file is not read."""
_MAX_HEADER_ERRORS = 20
_ALLOWED = f"columns are {', '.join(REQUIRED_FIELDS)} and optionally {', '.join(FIELDS[3:])}, in any order"
_CORRECT = "correct the row and upload it again, for example in resubmit.csv"
_ONE_CELL_EACH = 'put text with a comma between "quotes"; write amounts without thousands separator'
_BOOLEANS = {"true": True, "false": False}
_DO = {
    Flaw.TOO_LONG: "shorten the row, or look for a missing line end",
    Flaw.UNCLOSED_QUOTE: 'close the cell with ", and write a " inside it twice; the rows below were read',
    Flaw.TEXT_AFTER_QUOTE: 'write a " inside a quoted cell twice',
}


_START = Progress()


class Row(NamedTuple):
    """A row that requests a payment. `line` is the physical line it starts on, counted from 1."""

    line: int
    request: PaymentRequest


class _Paused(Exception):
    """The reader was asked to stop."""


class BatchFile:
    """A batch file that is read once, from start to end. Raises FileError if no row of it can be read.

    `line` and `offset` are the lines, and the bytes of text, up to and including the last row that was read.
    `is_complete` is true if no row follows.
    """

    def __init__(self, chunks: Iterable[bytes]) -> None:
        try:
            text = plain_text(chunks)
        except CutOff as error:
            raise _without_header(error) from error
        self._is_gzip = text.is_gzip
        self._stop: Callable[[], bool] = lambda: False
        self._stops_after_line = 0
        self._records = Records(self._until_stopped(text.chunks), offset=text.offset)
        self.header, self.columns = _header(iter(self._records))
        self._ordinary = ordinary_rows(self.columns)
        self.line, self.offset = self._records.line, self._records.offset
        self.is_complete = False

    def rows(
        self,
        after: Progress = _START,
        *,
        read_from: Callable[[int], Iterable[bytes]] | None = None,
        stop: Callable[[], bool] = lambda: False,
    ) -> Iterator[Row | RejectedRow]:
        """The rows after `after` in file order. Earlier rows are skipped without a check.

        `read_from` returns the file's bytes from a position on: with it, the earlier rows are not even read. The rows
        end early when `stop` says so after a row or at the end of a chunk, but not before one line was read.
        """
        self._stop, self._stops_after_line = stop, max(after.line, self.line)
        count, skipped_line = 0, after.line
        if after.offset == END:
            self.line, self.offset, self.is_complete = after.line, END, True
            return
        if after.offset and read_from:
            text = plain_text_from(after.offset, read_from, is_gzip=self._is_gzip)
            records = Records(self._until_stopped(text), after.line, after.offset, self._records.width)
            self._records, count, skipped_line = records, after.rows_read, 0
        try:
            for group in self._records.groups(_ROWS_A_GLANCE):
                for record, request in zip(group, self._ordinary(list(map(_text, group))), strict=True):
                    count += 1
                    if count > MAX_ROWS:
                        raise _too_many(record.line)
                    self.line, self.offset = record.end_line, record.end_offset
                    if record.line > skipped_line:
                        yield Row(record.line, request) if request else self._read(record)
                        if stop():
                            return
        except _Paused:
            self.line, self.offset = self._records.line, self._records.offset
            return
        except CutOff as cut_off:
            self.line, self.offset = cut_off.line, END
            if cut_off.line > skipped_line:
                what_to_do = "upload the part from this line on as another file"
                yield RejectedRow(cut_off.line, "", (CellError(cut_off.line, "", "", str(cut_off), what_to_do),))
        else:
            self.line, self.offset = self._records.line, self._records.offset
        self.is_complete = True

    def _until_stopped(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        for chunk in chunks:
            yield chunk
            if self._stop() and self._records.line > self._stops_after_line:
                raise _Paused

    def cells(self) -> Iterator[tuple[int, list[str]]]:
        """The line and the unchanged cells of every row, rejected or not. Bytes that are not UTF-8 are surrogates."""
        try:
            for count, record in enumerate(self._records, 1):
                if count > MAX_ROWS:
                    return
                text = record.raw.decode(errors="surrogateescape")
                yield record.line, text.split(",") if record.flaw else cells_of(text)
        except CutOff:
            return

    def _read(self, record: Record) -> Row | RejectedRow:
        line, flaw = record.line, record.flaw
        if flaw:
            return RejectedRow(line, "", (CellError(line, "", "", flaw.value, _DO[flaw]),))
        try:
            text = record.raw.decode()
        except UnicodeDecodeError:
            return self._not_utf8(record)
        return self._read_with_care(line, text)

    def _read_with_care(self, line: int, text: str) -> Row | RejectedRow:
        if "\r" in text:  # only in quoted cells: line ends of another system
            text = text.replace("\r\n", "\n").replace("\r", "\n")
        cells = cells_of(text)
        columns = self.columns
        if len(cells) != len(columns):
            reason = f"the row has {len(cells)} cells and the header {len(columns)}"
            return self._rejected(line, cells, [("", reason, _ONE_CELL_EACH)])
        cells = list(map(as_written, cells))
        body: dict[str, Any] = dict(zip(columns, cells, strict=True))
        problems = []
        if body.get("metadata"):
            try:
                body["metadata"] = _json_object(body["metadata"])
            except ValueError:
                del body["metadata"]
                problems.append(("metadata", "not a JSON object", 'write {"order": "A-17"}, quoted for CSV'))
        if "off_session" in body:
            body["off_session"] = _BOOLEANS.get(body["off_session"].strip().lower(), body["off_session"])
        try:
            request = parse_request(body, usually_off_session=True)
        except InvalidRequest as error:
            problems += [(e.field, *_sentence(e.message, e.field, body)) for e in error.errors]
        if problems:
            return self._rejected(line, cells, problems)
        return Row(line, request)

    def _rejected(self, line: int, cells: Sequence[str], problems: list[tuple[str, str, str]]) -> RejectedRow:
        row = dict(zip(self.columns, cells, strict=False))
        payment_id = row.get("payment_id", "")
        usable = PAYMENT_ID.fullmatch(payment_id) and not card_data_in(payment_id) and not TOKEN.search(payment_id)
        errors = (CellError(line, name, masked(name, row.get(name, "")), why, do) for name, why, do in problems)
        return RejectedRow(line, payment_id if usable else "", tuple(errors))

    def _not_utf8(self, record: Record) -> RejectedRow:
        cells = cells_of(record.raw.decode(errors="surrogateescape"))
        bad = next(place for place, cell in enumerate(cells) if any("\udc80" <= c <= "\udcff" for c in cell))
        name = self.columns[bad] if bad < len(self.columns) else f"cell {bad + 1}"
        readable = ["".join(c if c < "\udc80" or c > "\udcff" else "\ufffd" for c in cell) for cell in cells]
        problem = (name, "the cell is not UTF-8 text", "save the file as UTF-8 ('CSV UTF-8' in Excel)")
        return self._rejected(record.line, readable, [problem])


def _text(record: Record) -> str:
    """The text of a record, or "" for one that cannot be read."""
    try:
        return "" if record.flaw else record.raw.decode()
    except UnicodeDecodeError:
        return ""


def _header(records: Iterator[Record]) -> tuple[list[str], list[str]]:
    """The header's cells as uploaded, and the column names they mean. Blanks and capitals do not matter."""
    try:
        record = next(records, None)
    except CutOff as error:
        raise _without_header(error) from error
    if record is None:
        raise FileError(CellError(1, "", "", "the file is empty", f"the first line is the header; {_ALLOWED}"))
    line = record.line
    if record.flaw:
        raise FileError(CellError(line, "", "", f"header: {record.flaw.value}", _ALLOWED))
    try:
        cells = cells_of(record.raw.decode())
    except UnicodeDecodeError as error:
        raise FileError(CellError(line, "", "", "the header is not UTF-8 text", "save it as UTF-8")) from error
    names = [cell.strip().lower() for cell in cells]
    if len(cells) == 1 and (separator := next((s for s in ";\t|" if s in cells[0]), None)):
        reason = f"the header's cells are separated by {separator!r}"
        raise FileError(CellError(line, "", masked("", cells[0]), reason, "separate cells by commas"))
    errors = []
    for place, (cell, name) in enumerate(zip(cells, names, strict=True)):
        if looks := card_data_in({name: ""}):
            reason = f"the column looks like {looks}"
            errors.append(CellError(line, f"column {place + 1}", masked("", cell), reason, NO_CARD_DATA))
        elif name not in FIELDS:
            reason = f"{shown(masked('', cell))[1:-1]} is not a column" if name else f"column {place + 1} has no name"
            errors.append(CellError(line, f"column {place + 1}", masked("", cell), reason, _ALLOWED))
        elif name in names[:place]:
            errors.append(CellError(line, name, masked("", cell), "the column appears twice", "remove one of them"))
    for name in REQUIRED_FIELDS:
        if name not in names:
            errors.append(CellError(line, name, "", f"the column {name} is missing", _ALLOWED))
    if errors:
        raise FileError(*errors[:_MAX_HEADER_ERRORS])
    return cells, names


def _json_object(text: str) -> Mapping[str, Any]:
    """Parse a JSON object. Raises ValueError for other JSON, and for text that is not valid UTF-8 (lone surrogates)."""
    try:
        value = json.loads(text)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    if not isinstance(value, dict):
        raise ValueError("not an object")
    json.dumps(value, ensure_ascii=False).encode()
    return value


def _sentence(message: str, column: str, body: Mapping[str, Any]) -> tuple[str, str]:
    """Split a domain error text into a reason and what to do. Its value is masked as in the column `value`."""
    cell = body.get(column)
    if isinstance(cell, str) and cell:
        message = message.replace(shown(cell), masked(column, cell))
    reason, _, what_to_do = message.rpartition("; ")
    return (reason, what_to_do) if reason else (message, _CORRECT)


def _without_header(error: CutOff) -> FileError:
    return FileError(CellError(max(1, error.line), "", "", str(error), "upload the file again"))


def _too_many(line: int) -> CutOff:
    return CutOff(f"the file has more than {MAX_ROWS} rows; this row and the following rows were not read", line)
