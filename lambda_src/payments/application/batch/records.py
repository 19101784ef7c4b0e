"""Split a CSV file's bytes into records: streamed, in bounded memory, without dropping any input silently.

The bytes are split before they are decoded, so that a row that is not UTF-8 does not affect other rows. The format is
RFC 4180, strict where that protects rows and lenient where it is safe: a quote is special only at the start of a cell;
quoted cells may contain commas, quotes and line ends; lines end in LF, CRLF or CR.
"""

import csv
import re
from collections import deque
from collections.abc import Iterable, Iterator
from enum import StrEnum
from typing import NamedTuple

MAX_RECORD_BYTES = 64 * 1024
"""Seven cells of the maximum length need less than half of it."""
MAX_LINES = 10_000_000
"""Physical lines, blank ones included: 2 MB of gzip can hold two thousand million line ends."""


class Flaw(StrEnum):
    """Why a record cannot be read. The value is a sentence for people."""

    NONE = ""
    TOO_LONG = f"the row is longer than {MAX_RECORD_BYTES} bytes"
    UNCLOSED_QUOTE = 'a cell starts with " and its closing " is missing'
    TEXT_AFTER_QUOTE = 'a cell that starts with " continues after its closing "'


class Record(NamedTuple):
    """One record: the physical line it starts on (from 1), its bytes without the line end, and its flaw, if any.

    `end_line` and `end_offset` are the lines and bytes of text up to its end. A flawed record contains only its first
    line, up to MAX_RECORD_BYTES of it.
    """

    line: int
    raw: bytes
    end_line: int
    end_offset: int
    flaw: Flaw = Flaw.NONE


class CutOff(Exception):
    """The rest of the file is not read. The text says why. `line` is the first line that is not read."""

    def __init__(self, reason: str, line: int = 0) -> None:
        super().__init__(reason)
        self.line = line


def cells_of(text: str) -> list[str]:
    """The cells of a record without a flaw."""
    return next(csv.reader((text,), strict=True)) if '"' in text else text.split(",")


class Records:
    """The records of a file, without blank lines. They do not depend on how the bytes are split into chunks.

    If a quote is not closed, only its own line is rejected, and the following lines are read again as records. One
    missing quote must not turn a thousand payments into one description. Raises CutOff at the end if `chunks` does, and
    after MAX_LINES. The incomplete last line, which may contain half an amount, is not returned.

    `line` and `offset` count the lines and bytes before the next record. A later reader that starts with them, with the
    chunks from this byte on and with the same `width` returns the same following records. `width` is the number of
    cells of the first record.
    """

    def __init__(self, chunks: Iterable[bytes], line: int = 0, offset: int = 0, width: int = 0) -> None:
        self.line = line
        self.offset = offset
        self.width = width
        self._records = self._split(_Lines(chunks, offset))

    def __iter__(self) -> Iterator[Record]:
        return self._records

    def groups(self, size: int) -> Iterator[list[Record]]:
        """The records in groups. If `chunks` raises, the records before it come first, as a smaller group."""
        group: list[Record] = []
        try:
            for record in self._records:
                group.append(record)
                if len(group) == size:
                    yield group
                    group = []
        except Exception:
            yield group
            raise
        yield group

    def _split(self, lines: "_Lines") -> Iterator[Record]:
        held: list[tuple[bytes, int]] = []  # the lines of a record whose quote is still open
        held_bytes = start = 0
        number = self.line
        for line, end in lines:
            number += 1
            content = line.rstrip(b"\r\n")
            if not held:
                if number > MAX_LINES:
                    raise CutOff(
                        f"the file has more than {MAX_LINES} lines; this one and the rest were not read", number
                    )
                if len(content) > MAX_RECORD_BYTES:
                    self.line, self.offset = number, end
                    yield Record(number, content[:MAX_RECORD_BYTES], number, end, Flaw.TOO_LONG)
                elif b'"' not in content or _WHOLE.fullmatch(content):
                    if not line:
                        lines.raise_if_cut_off(number)
                        return
                    self.line, self.offset = number, end
                    if content and not content.isspace():
                        self.width = self.width or _width(content)
                        yield Record(number, content, number, end)
                elif _OPEN.fullmatch(content):
                    held, held_bytes, start = [(line, end)], len(line), number
                else:
                    self.line, self.offset = number, end
                    yield Record(number, content, number, end, Flaw.TEXT_AFTER_QUOTE)
                continue

            held.append((line, end))
            held_bytes += len(line)
            if line and held_bytes <= MAX_RECORD_BYTES and _stays_open(content):
                continue
            whole = b"".join(line for line, _ in held).rstrip(b"\r\n")
            # The wrong number of cells: the opening quote of a later row closed this quote.
            width = self.width
            if held_bytes <= MAX_RECORD_BYTES and _closes(content) and _width(whole) == (width or _width(whole)):
                self.line, self.offset, self.width = number, end, _width(whole)
                yield Record(start, whole, number, end)
            else:
                first, self.offset = held[0]
                self.line = number = start
                lines.put_back(held[1:])
                yield Record(start, first.rstrip(b"\r\n"), start, self.offset, Flaw.UNCLOSED_QUOTE)
            held = []


class _Lines:
    """Physical lines with their line ends and where each ends in the text. They can be put back; then b"" for every
    further request.

    A long line may be cut to MAX_RECORD_BYTES + 1 bytes, which is enough to see that it is too long.
    """

    def __init__(self, chunks: Iterable[bytes], offset: int) -> None:
        self._chunks = chunks
        self._offset = offset
        self._again: deque[tuple[bytes, int]] = deque()
        self._cut_off: CutOff | None = None

    def put_back(self, lines: list[tuple[bytes, int]]) -> None:
        self._again.extendleft(reversed([line for line in lines if line[0]]))

    def raise_if_cut_off(self, line: int) -> None:
        if self._cut_off:
            self._cut_off.line = line
            raise self._cut_off

    def __iter__(self) -> Iterator[tuple[bytes, int]]:
        again = self._again
        tail = b""
        cut = 0  # bytes of the tail that were dropped
        end = self._offset
        try:
            for chunk in self._chunks:
                lines = (tail + chunk).splitlines(keepends=True)
                # a CR at the end may be the first half of a CRLF
                tail = lines.pop() if lines and not lines[-1].endswith(b"\n") else b""
                for line in lines:
                    end += len(line) + cut
                    cut = 0
                    yield line, end
                    while again:
                        yield again.popleft()
                if len(tail) > MAX_RECORD_BYTES + 1:
                    cut += len(tail) - MAX_RECORD_BYTES - 1
                    tail = tail[:MAX_RECORD_BYTES] + tail[-1:]  # the last byte may be that CR
        except CutOff as cut_off:
            self._cut_off = cut_off
            tail = b""
        if tail:
            end += len(tail) + cut
            yield tail, end
        while True:
            while again:
                yield again.popleft()
            yield b"", end


# Possessive repeats (*+) never backtrack. The time therefore stays linear for all input.
_INSIDE = rb'[^"]*+(?:""[^"]*+)*+'
_QUOTED = rb'"' + _INSIDE + rb'"(?=,|\Z)'
_MILD = rb"(?:" + _QUOTED + rb'|(?!")[^,]*+)'  # 5" pipe: a quote inside an unquoted cell is an ordinary character
_STRICT = rb"(?:" + _QUOTED + rb'|[^",]*+(?=,|\Z))'  # after a line break it would be ambiguous
_WHOLE = re.compile(_MILD + rb"(?:," + _MILD + rb")*+")
_OPEN = re.compile(rb"(?:" + _MILD + rb',)*+"' + _INSIDE)
_STAYS_OPEN = re.compile(_INSIDE + rb'(?:"(?:,' + _STRICT + rb')*+,"' + _INSIDE + rb")?+")
_CLOSES = re.compile(_INSIDE + rb'"(?:,' + _STRICT + rb")*+")


def _stays_open(content: bytes) -> bool:
    """True if a quoted cell that was open before this line is still open after it."""
    return _STAYS_OPEN.fullmatch(content) is not None


def _closes(content: bytes) -> bool:
    """True if this line closes the quoted cell that was open before it, and its record ends with the line."""
    return _CLOSES.fullmatch(content) is not None


def _width(raw: bytes) -> int:
    return len(cells_of(raw.decode("latin-1")))
