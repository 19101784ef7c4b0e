"""The port to the bucket of batch files, its adapter on S3 and its in-memory twin."""

from collections.abc import Iterator
from typing import BinaryIO, Protocol

from payments.domain.batch.state import Source


class BatchFiles(Protocol):
    """Uploaded files to read, result files to write."""

    def read(self, source: Source) -> Iterator[bytes]:
        """The file's bytes from the start, in chunks."""

    def write(self, source: Source, name: str, content: BinaryIO) -> str:
        """Store a result file of `source`; gives its key."""
