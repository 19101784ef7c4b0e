"""The bytes of a batch file as it was uploaded, as plain UTF-8 bytes: gunzipped, without a byte order mark."""

import zlib
from collections.abc import Iterable, Iterator
from itertools import chain

from payments.application.batch.records import CutOff
from payments.domain.batch.errors import CellError, FileError

MAX_FILE_BYTES = 4 * 1024**3
"""After decompression: a small gzip must not keep the splitter busy for ever."""

_STEP_BYTES = 64 * 1024
_NOT_CSV = (
    (b"\xff\xfe", "the file is UTF-16 or UTF-32 text", "save it as UTF-8 ('CSV UTF-8' in Excel)"),
    (b"\xfe\xff", "the file is UTF-16 text", "save it as UTF-8 ('CSV UTF-8' in Excel)"),
    (b"PK\x03\x04", "the file is a ZIP archive or an Excel workbook", "save it as 'CSV UTF-8', or gzip it"),
    (b"%PDF", "the file is a PDF document", "upload a CSV file"),
)


def plain_bytes(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The file's text. Raises FileError if it is no UTF-8 text at all, CutOff where it ends too early."""
    head, chunks = _peek(chunks)
    if head.startswith(b"\x1f\x8b"):
        head, chunks = _peek(_gunzipped(chunks))
    for magic, reason, what_to_do in _NOT_CSV:
        if head.startswith(magic):
            raise FileError(CellError(1, "", "", reason, what_to_do))
    if b"\0" in head[:4]:
        raise FileError(
            CellError(1, "", "", "the file holds zero bytes: it is UTF-16 text or not text", "save it as UTF-8")
        )
    total_bytes = 0
    for chunk in chunks:
        total_bytes += len(chunk)
        if total_bytes > MAX_FILE_BYTES:
            raise CutOff(f"the file has more than {MAX_FILE_BYTES} bytes of text")
        yield chunk if total_bytes > len(chunk) else chunk.removeprefix(b"\xef\xbb\xbf")


def _peek(chunks: Iterable[bytes], count: int = 4) -> tuple[bytes, Iterable[bytes]]:
    """The first `count` bytes or more, if there are as many, and all chunks again."""
    rest = iter(chunks)
    head = b""
    for chunk in rest:
        head += chunk
        if len(head) >= count:
            break
    return head, chain((head,), rest)


def _gunzipped(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Decompressed in steps of bounded size; a gzip may have several members."""
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
        raise CutOff("the gzip data ends too early: the upload was not complete")
