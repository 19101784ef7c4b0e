"""Batch files in memory."""

from collections.abc import Iterator
from typing import BinaryIO

from payments.domain.batch.state import Source


class MemoryBatchFiles:
    """Files in a dict: (key, version id) or a result's key → bytes. `chunk_bytes` is the size of the chunks read."""

    def __init__(self, chunk_bytes: int = 7) -> None:
        self.uploads: dict[tuple[str, str], bytes] = {}
        self.results: dict[str, bytes] = {}
        self._chunk_bytes = chunk_bytes

    def upload(self, key: str, content: bytes, version_id: str = "v1") -> Source:
        """Store a file, as an uploader does."""
        self.uploads[key, version_id] = content
        return Source("bucket", key, version_id, "etag", len(content))

    def read(self, source: Source, start: int = 0) -> Iterator[bytes]:
        """The bytes of the file's version from byte `start` on, in chunks."""
        content = self.uploads[source.key, source.version_id]
        for offset in range(start, len(content), self._chunk_bytes):
            yield content[offset : offset + self._chunk_bytes]

    def write(self, source: Source, name: str, content: BinaryIO) -> str:
        """Store a result file, and return its key."""
        key = source.result_key(name)
        self.results[key] = content.read()
        return key
