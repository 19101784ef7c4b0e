"""Erased customers, in the bucket of the backups."""

import json
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from payments.domain.clock import iso
from payments.domain.erasure import ERASURES, key_of
from payments.ports.erasure_ledger import LedgerUnavailable

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


class S3ErasureLedger:
    """An object for each erased customer, under its id. `client` is made at the first use: few calls erase anybody."""

    def __init__(self, client: "Callable[[], S3Client]", bucket: str) -> None:
        self._client = client
        self._bucket = bucket

    def add(self, customer_id: str, at: datetime) -> None:
        """Store an object. Raises LedgerUnavailable."""
        content = json.dumps({"customer_id": customer_id, "erased_at": iso(at)}).encode()
        try:
            self._client().put_object(
                Bucket=self._bucket, Key=key_of(customer_id), Body=content, ChecksumAlgorithm="SHA256"
            )
        except (ClientError, BotoCoreError) as error:
            raise LedgerUnavailable(str(error)) from error

    def all(self) -> dict[str, str]:
        """The keys below `erasures/`, a thousand with each request. The time is that of the object."""
        pages = self._client().get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=ERASURES)
        return {
            found["Key"].removeprefix(ERASURES): iso(found["LastModified"])
            for page in pages
            for found in page.get("Contents", [])
        }
