"""Batch files in S3."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, BinaryIO

from payments.domain.batch.state import Source

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


_RANGE_BYTES = 4 * 1024 * 1024
_CHUNK_BYTES = 64 * 1024


class S3BatchFiles:
    """The bucket of batch files."""

    def __init__(self, client: "S3Client") -> None:
        self._client = client

    def read(self, source: Source, start: int = 0) -> Iterator[bytes]:
        """The bytes of the file's version from byte `start` on, in chunks of up to 64 KiB.

        Requests a range of 4 MiB at a time: the rows of a large file take minutes to store, and S3 closes a connection
        that is not read.
        """
        version = {"VersionId": source.version_id} if source.version_id else {}
        for first in range(start, source.size_bytes, _RANGE_BYTES):
            last = min(first + _RANGE_BYTES, source.size_bytes) - 1
            part = self._client.get_object(
                Bucket=source.bucket,
                Key=source.key,
                Range=f"bytes={first}-{last}",
                **version,  # type: ignore[arg-type]
            )["Body"].read()
            for offset in range(0, len(part), _CHUNK_BYTES):
                yield part[offset : offset + _CHUNK_BYTES]

    def write(self, source: Source, name: str, content: BinaryIO) -> str:
        """Upload a result file, large files in parts, and return its key."""
        key = source.result_key(name)
        self._client.upload_fileobj(content, source.bucket, key, ExtraArgs={"ContentType": "text/csv; charset=utf-8"})
        return key
