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


class Flaw(StrEnum):
    """Why a record cannot be read. The value is a sentence for people."""

    NONE = ""
    TOO_LONG = f"the row is longer than {MAX_RECORD_BYTES} bytes"
    UNCLOSED_QUOTE = 'a cell starts with " and its closing " is missing'
    TEXT_AFTER_QUOTE = 'a cell that starts with " continues after its closing "'


class Record(NamedTuple):
    """One record: the physical line it starts on (from 1), its bytes without the line end, and its flaw, if any.

    A flawed record contains only its first line, up to MAX_RECORD_BYTES of it.
    """

    line: int
    raw: bytes
    flaw: Flaw = Flaw.NONE


class CutOff(Exception):
    """The bytes end before the file does. The text says why. `line` is the first incomplete line."""

    line = 0


def cells_of(text: str) -> list[str]:
    """The cells of a record without a flaw."""
    return next(csv.reader((text,), strict=True)) if '"' in text else text.split(",")


def split_records(chunks: Iterable[bytes]) -> Iterator[Record]:
    """The records of a file, without blank lines. The result does not depend on how the bytes are split into chunks.

    If a quote is not closed, only its own line is rejected, and the following lines are read again as records. One
    missing quote must not turn a thousand payments into one description. Raises CutOff at the end if `chunks` does.
    The incomplete last line, which may contain half an amount, is not returned.
    """
    lines = _Lines(chunks)
    held: list[bytes] = []  # the lines of a record whose quote is still open
    held_bytes = start = number = width = 0
    for line in lines:
        number += 1
        content = line.rstrip(b"\r\n")
        if not held:
            if len(content) > MAX_RECORD_BYTES:
                yield Record(number, content[:MAX_RECORD_BYTES], Flaw.TOO_LONG)
            elif b'"' not in content or _WHOLE.fullmatch(content):
                if content and not content.isspace():
                    width = width or _width(content)
                    yield Record(number, content)
                elif not line:
                    lines.raise_if_cut_off(number)
                    return
            elif _OPEN.fullmatch(content):
                held, held_bytes, start = [line], len(line), number
            else:
                yield Record(number, content, Flaw.TEXT_AFTER_QUOTE)
            continue

        held.append(line)
        held_bytes += len(line)
        if line and held_bytes <= MAX_RECORD_BYTES and _stays_open(content):
            continue
        whole = b"".join(held).rstrip(b"\r\n")
        # The wrong number of cells: the opening quote of a later row closed this quote.
        if held_bytes <= MAX_RECORD_BYTES and _closes(content) and _width(whole) == (width or _width(whole)):
            width = _width(whole)
            yield Record(start, whole)
        else:
            yield Record(start, held[0].rstrip(b"\r\n"), Flaw.UNCLOSED_QUOTE)
            lines.put_back(held[1:])
            number = start
        held = []


class _Lines:
    """Physical lines with their line ends, which can be put back; then b"" for every further request.

    A long line may be cut to MAX_RECORD_BYTES + 1 bytes, which is enough to see that it is too long.
    """

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = chunks
        self._again: deque[bytes] = deque()
        self._cut_off: CutOff | None = None

    def __iter__(self) -> Iterator[bytes]:
        for line in self._fresh():
            yield line
            while self._again:
                yield self._again.popleft()

    def put_back(self, lines: list[bytes]) -> None:
        self._again.extendleft(reversed([line for line in lines if line]))

    def raise_if_cut_off(self, line: int) -> None:
        if self._cut_off:
            self._cut_off.line = line
            raise self._cut_off

    def _fresh(self) -> Iterator[bytes]:
        tail = b""
        try:
            for chunk in self._chunks:
                lines = (tail + chunk).splitlines(keepends=True)
                # a CR at the end may be the first half of a CRLF
                tail = lines.pop() if lines and not lines[-1].endswith(b"\n") else b""
                if len(tail) > MAX_RECORD_BYTES + 1:
                    tail = tail[:MAX_RECORD_BYTES] + tail[-1:]  # the last byte may be that CR
                yield from lines
        except CutOff as cut_off:
            self._cut_off = cut_off
            tail = b""
        if tail:
            yield tail
        while True:
            yield b""


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
