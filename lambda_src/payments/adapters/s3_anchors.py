"""Anchors of the audit log in S3."""

from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from payments.domain.anchor import ANCHOR, FIRST, LATER
from payments.ports.anchor_store import AlreadyStored
from payments.ports.backup_store import NoSuchObject

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


class S3AnchorStore:
    """The bucket of anchors."""

    def __init__(self, client: "S3Client", bucket: str) -> None:
        self._client = client
        self._bucket = bucket

    def put(self, key: str, content: bytes) -> None:
        """Store an object. S3 checks that it received what was sent, which Object Lock requires."""
        self._client.put_object(Bucket=self._bucket, Key=key, Body=content, ChecksumAlgorithm="SHA256")

    def add(self, key: str, content: bytes) -> None:
        """Store an object. Raises AlreadyStored if there is one of this key."""
        try:
            self._client.put_object(
                Bucket=self._bucket, Key=key, Body=content, ChecksumAlgorithm="SHA256", IfNoneMatch="*"
            )
        except ClientError as error:
            if error.response["Error"]["Code"] not in ("PreconditionFailed", "ConditionalRequestConflict"):
                raise
            raise AlreadyStored(key) from None

    def get(self, key: str) -> bytes:
        """The newest version of an object. Raises NoSuchObject."""
        try:
            return self._client.get_object(Bucket=self._bucket, Key=key)["Body"].read()
        except ClientError as error:
            if error.response["Error"]["Code"] not in ("NoSuchKey", "404"):
                raise
            raise NoSuchObject(key) from None

    def rewritten(self) -> list[int]:
        """The anchors of which the bucket has another version than the newest, or a delete marker."""
        found: set[int] = set()
        for prefix in (FIRST, LATER):
            pages = self._client.get_paginator("list_object_versions").paginate(Bucket=self._bucket, Prefix=prefix)
            for page in pages:
                old = [version for version in page.get("Versions", []) if not version["IsLatest"]]
                keys = [version["Key"] for version in [*old, *page.get("DeleteMarkers", [])]]
                found |= {_number_of(key) for key in keys if key.endswith(f"/{ANCHOR}")}
        return sorted(found)

    def numbers(self) -> list[int]:
        """The folders below `anchors/`."""
        pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=LATER, Delimiter="/")
        folders = [found["Prefix"] for page in pages for found in page.get("CommonPrefixes", [])]
        names = [folder.removeprefix(LATER).removesuffix("/") for folder in folders]
        return sorted(int(name) for name in names if name.isdecimal())


def _number_of(key: str) -> int:
    """The number of the anchor with this key."""
    return 0 if key.startswith(FIRST) else int(key.removeprefix(LATER).partition("/")[0])
