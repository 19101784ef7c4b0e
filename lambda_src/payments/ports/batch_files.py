"""Storage of batch files: uploads and result files."""

from collections.abc import Iterator
from typing import Protocol

from payments.domain.batch.report import FileParts, ResultFile
from payments.domain.batch.state import Source

LEAST_PART_BYTES = 5 * 1024 * 1024
"""The least size of every part of an upload except the last one (Amazon S3 User Guide, "Multipart upload limits")."""


class UploadLost(Exception):
    """What an earlier run uploaded is not there any more, or another run replaced it. The report begins anew."""


class BatchFiles(Protocol):
    """Reads uploaded files and writes result files, also in several runs."""

    def read(self, source: Source, start: int = 0) -> Iterator[bytes]:
        """The file's bytes from byte `start` on, in chunks."""

    def add_part(self, source: Source, name: str, parts: FileParts, content: bytes) -> FileParts:
        """Upload the next part of a result file, of at least LEAST_PART_BYTES. Nothing of the file is visible before
        `finish`. Raises UploadLost."""

    def finish(self, source: Source, name: str, parts: FileParts, rest: bytes) -> ResultFile:
        """Complete a result file of `source` with its last bytes. Safe to repeat. Raises UploadLost."""

    def save_tails(self, source: Source, content: bytes) -> str:
        """Store what a checkpoint holds beside the parts, and return its key, which is never used again."""

    def read_tails(self, source: Source, key: str) -> bytes:
        """What `save_tails` stored. Raises UploadLost."""
