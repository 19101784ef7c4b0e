"""The bytes of an uploaded batch file as plain UTF-8 bytes: decompressed, without a byte order mark."""

import zlib
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from typing import NamedTuple

from payments.application.batch.records import CutOff
from payments.domain.batch.errors import CellError, FileError

MAX_FILE_BYTES = 4 * 1024**3
"""The limit after decompression: a small gzip file must not keep the splitter busy without end."""

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_STEP_BYTES = 64 * 1024
_NOT_CSV = (
    (b"\xff\xfe", "the file is UTF-16 or UTF-32 text", "save it as UTF-8 ('CSV UTF-8' in Excel)"),
    (b"\xfe\xff", "the file is UTF-16 text", "save it as UTF-8 ('CSV UTF-8' in Excel)"),
    (b"PK\x03\x04", "the file is a ZIP archive or an Excel workbook", "save it as 'CSV UTF-8', or gzip it"),
    (b"%PDF", "the file is a PDF document", "upload a CSV file"),
)


class PlainText(NamedTuple):
    """The text of a file in chunks. It starts at byte `offset`: behind the byte order mark, if there is one."""

    chunks: Iterator[bytes]
    offset: int
    is_gzip: bool


def plain_text(chunks: Iterable[bytes]) -> PlainText:
    """The text of a file from its start. Raises FileError if it is not UTF-8 text, and CutOff if it ends too early, the
    latter also while it is read."""
    head, chunks = _peek(chunks)
    is_gzip = head.startswith(b"\x1f\x8b")
    if is_gzip:
        head, chunks = _peek(_gunzipped(chunks))
    for magic, reason, what_to_do in _NOT_CSV:
        if head.startswith(magic):
            raise FileError(CellError(1, "", "", reason, what_to_do))
    if b"\0" in head[:4]:
        raise FileError(
            CellError(1, "", "", "the file has zero bytes: it is UTF-16 text or not text", "save it as UTF-8")
        )
    offset = len(_BYTE_ORDER_MARK) if head.startswith(_BYTE_ORDER_MARK) else 0
    return PlainText(_bounded(_after(chunks, offset), offset), offset, is_gzip)


def plain_text_from(offset: int, read_from: Callable[[int], Iterable[bytes]], *, is_gzip: bool) -> Iterator[bytes]:
    """The text from byte `offset` on. `read_from` returns the file's bytes from a position on.

    gzip has no position to start from: it is decompressed from its start, which takes less than a minute for
    MAX_FILE_BYTES and is much quicker than to read the rows.
    """
    return _bounded(_after(_gunzipped(read_from(0)), offset) if is_gzip else read_from(offset), offset)


def _bounded(chunks: Iterable[bytes], total_bytes: int) -> Iterator[bytes]:
    for chunk in chunks:
        total_bytes += len(chunk)
        if total_bytes > MAX_FILE_BYTES:
            raise CutOff(f"the file has more than {MAX_FILE_BYTES} bytes of text")
        yield chunk


def _after(chunks: Iterable[bytes], count: int) -> Iterator[bytes]:
    """The chunks without their first `count` bytes."""
    for chunk in chunks:
        if count < len(chunk):
            yield chunk[count:]
        count = max(0, count - len(chunk))


def _peek(chunks: Iterable[bytes], count: int = 4) -> tuple[bytes, Iterable[bytes]]:
    """The first `count` bytes or more, if the file is long enough, and all chunks from the start."""
    rest = iter(chunks)
    head = b""
    for chunk in rest:
        head += chunk
        if len(head) >= count:
            break
    return head, chain((head,), rest)


def _gunzipped(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Decompress in steps of bounded size. A gzip file may have several members."""
    member = zlib.decompressobj(wbits=31)
    for chunk in chunks:
        data = chunk
        while True:
            if member.eof:
                data = data.lstrip(b"\0")  # some tools pad with zeros
                if not data:
                    break
                member = zlib.decompressobj(wbits=31)
            try:
                text = member.decompress(data, _STEP_BYTES)
            except zlib.error as error:
                raise CutOff("the gzip data is damaged here") from error
            if text:
                yield text
            data = member.unused_data if member.eof else member.unconsumed_tail
            if not data and len(text) < _STEP_BYTES:
                break
    if not member.eof:
        raise CutOff("the gzip data ends too early: the upload was incomplete")
