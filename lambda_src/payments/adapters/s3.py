"""Batch files in S3."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from botocore.exceptions import ClientError

from payments.domain.batch.report import FileParts, ResultFile
from payments.domain.batch.state import Source
from payments.ports.batch_files import UploadLost

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


_RANGE_BYTES = 4 * 1024 * 1024
_CHUNK_BYTES = 64 * 1024
_CONTENT_TYPE = "text/csv; charset=utf-8"
_TOKEN = "report"  # noqa: S105 (the name of an object's metadata)
_LOST = ("NoSuchUpload", "InvalidPart", "NoSuchKey", "404", "403", "AccessDenied")
"""What S3 answers if an upload or object is gone; 403 to a role that may not list the bucket."""


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

    def add_part(self, source: Source, name: str, parts: FileParts, content: bytes) -> FileParts:
        """Upload the next part. The first one begins a multipart upload. Raises UploadLost."""
        place = _place(source, name)
        if not parts.upload_id:
            token = uuid4().hex
            begun = self._client.create_multipart_upload(**place, ContentType=_CONTENT_TYPE, Metadata={_TOKEN: token})
            parts = FileParts(begun["UploadId"], token)
        with _lost(name):
            etag = self._client.upload_part(
                **place, UploadId=parts.upload_id, PartNumber=len(parts.etags) + 1, Body=content
            )["ETag"]
        return replace(parts, etags=(*parts.etags, etag))

    def finish(self, source: Source, name: str, parts: FileParts, rest: bytes) -> ResultFile:
        """Complete the upload, or write a small file with one request. S3 compares the parts with their ETags.

        Raises UploadLost.
        """
        place = _place(source, name)
        if not parts.upload_id:
            put = self._client.put_object(**place, Body=rest, ContentType=_CONTENT_TYPE)
            return ResultFile(place["Key"], put.get("VersionId", ""))
        try:
            with _lost(name):
                parts = self.add_part(source, name, parts, rest) if rest else parts
                numbered: Any = [{"PartNumber": n, "ETag": etag} for n, etag in enumerate(parts.etags, 1)]
                made: Any = self._client.complete_multipart_upload(
                    **place, UploadId=parts.upload_id, MultipartUpload={"Parts": numbered}
                )
        except UploadLost:
            made = self._completed_before(place, parts)
        return ResultFile(place["Key"], made.get("VersionId", ""))

    def save_tails(self, source: Source, content: bytes) -> str:
        """Store the content under a new key below `reporting/`, where objects expire."""
        key = f"{source.reporting_prefix}{uuid4().hex}"
        self._client.put_object(Bucket=source.bucket, Key=key, Body=content)
        return key

    def read_tails(self, source: Source, key: str) -> bytes:
        """The content. Raises UploadLost if it has expired."""
        with _lost(key):
            return self._client.get_object(Bucket=source.bucket, Key=key)["Body"].read()

    def _completed_before(self, place: dict[str, str], parts: FileParts) -> Any:
        """The object, if this very upload made it: a run completed it and stopped before it could store that."""
        with _lost(place["Key"]):
            there: Any = self._client.head_object(**place)  # type: ignore[arg-type]
        if there["Metadata"].get(_TOKEN) != parts.token:
            raise UploadLost(f"{place['Key']}: the upload is gone, and another run wrote the file")
        return there


def _place(source: Source, name: str) -> Any:
    return {"Bucket": source.bucket, "Key": source.result_key(name)}


@contextmanager
def _lost(what: str) -> Iterator[None]:
    try:
        yield
    except ClientError as error:
        code = error.response["Error"]["Code"]
        if code not in _LOST:
            raise
        raise UploadLost(f"{what}: what was uploaded before is gone: {code}") from None
