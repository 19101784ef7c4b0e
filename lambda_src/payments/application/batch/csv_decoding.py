"""The bytes of an uploaded batch file as plain UTF-8 bytes: decompressed, without a byte order mark."""

import zlib
from collections.abc import Iterable, Iterator
from itertools import chain

from payments.application.batch.records import CutOff
from payments.domain.batch.errors import CellError, FileError

MAX_FILE_BYTES = 4 * 1024**3
"""The limit after decompression: a small gzip file must not keep the splitter busy without end."""

_STEP_BYTES = 64 * 1024
_NOT_CSV = (
    (b"\xff\xfe", "the file is UTF-16 or UTF-32 text", "save it as UTF-8 ('CSV UTF-8' in Excel)"),
    (b"\xfe\xff", "the file is UTF-16 text", "save it as UTF-8 ('CSV UTF-8' in Excel)"),
    (b"PK\x03\x04", "the file is a ZIP archive or an Excel workbook", "save it as 'CSV UTF-8', or gzip it"),
    (b"%PDF", "the file is a PDF document", "upload a CSV file"),
)


def plain_bytes(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The file's text in chunks. Raises FileError if it is not UTF-8 text, and CutOff if it ends too early."""
    head, chunks = _peek(chunks)
    if head.startswith(b"\x1f\x8b"):
        head, chunks = _peek(_gunzipped(chunks))
    for magic, reason, what_to_do in _NOT_CSV:
        if head.startswith(magic):
            raise FileError(CellError(1, "", "", reason, what_to_do))
    if b"\0" in head[:4]:
        raise FileError(
            CellError(1, "", "", "the file has zero bytes: it is UTF-16 text or not text", "save it as UTF-8")
        )
    total_bytes = 0
    for chunk in chunks:
        total_bytes += len(chunk)
        if total_bytes > MAX_FILE_BYTES:
            raise CutOff(f"the file has more than {MAX_FILE_BYTES} bytes of text")
        yield chunk if total_bytes > len(chunk) else chunk.removeprefix(b"\xef\xbb\xbf")


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
