"""Backups in S3."""

from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from payments.domain.backup import BACKUPS
from payments.ports.backup_store import NoSuchObject

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


class S3BackupStore:
    """The bucket of backups."""

    def __init__(self, client: "S3Client", bucket: str) -> None:
        self._client = client
        self._bucket = bucket

    def put(self, key: str, content: bytes) -> None:
        """Store an object. S3 checks that it received what was sent."""
        self._client.put_object(Bucket=self._bucket, Key=key, Body=content, ChecksumAlgorithm="SHA256")

    def get(self, key: str) -> bytes:
        """The newest version of an object. Raises NoSuchObject."""
        try:
            return self._client.get_object(Bucket=self._bucket, Key=key)["Body"].read()
        except ClientError as error:
            if error.response["Error"]["Code"] not in ("NoSuchKey", "404"):
                raise
            raise NoSuchObject(key) from None

    def timestamps(self) -> list[str]:
        """The folders below `backups/`."""
        pages = self._client.get_paginator("list_objects_v2").paginate(
            Bucket=self._bucket, Prefix=BACKUPS, Delimiter="/"
        )
        folders = [found["Prefix"] for page in pages for found in page.get("CommonPrefixes", [])]
        return sorted(folder.removeprefix(BACKUPS).removesuffix("/") for folder in folders)
