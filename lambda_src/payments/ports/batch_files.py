"""Storage of batch files: uploads and result files."""

from collections.abc import Iterator
from typing import BinaryIO, Protocol

from payments.domain.batch.state import Source


class BatchFiles(Protocol):
    """Reads uploaded files and writes result files."""

    def read(self, source: Source, start: int = 0) -> Iterator[bytes]:
        """The file's bytes from byte `start` on, in chunks."""

    def write(self, source: Source, name: str, content: BinaryIO) -> str:
        """Store a result file of `source`, and return its key."""
