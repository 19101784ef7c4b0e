"""Batches in the S3 bucket and in the processing-status table."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any

from payctl import adapters
from payctl.stack import Stack
from payments.application.batch.result_files import ERRORS, RESUBMIT
from payments.application.batch.result_files import RESULTS as RESULT_ROWS
from payments.domain.batch.errors import RejectedRow
from payments.domain.batch.report import ResultFile
from payments.domain.batch.state import INCOMING, Batch, Source

RESULT_FILES = (RESULT_ROWS, ERRORS, RESUBMIT)


def upload(stack: Stack, file: Path, folder: str = INCOMING) -> Source:
    """Upload a file to a folder of the bucket. Returns its object version, which identifies the batch."""
    key = folder + file.name
    with file.open("rb") as content:
        answer = stack.client("s3").put_object(Bucket=stack["batch_bucket"], Key=key, Body=content)
    size_bytes = file.stat().st_size
    return Source(stack["batch_bucket"], key, answer.get("VersionId", ""), answer["ETag"].strip('"'), size_bytes)


def get(stack: Stack, batch_id: str) -> Batch | None:
    """The stored state of a batch. None if there is no such batch."""
    return adapters.batches(stack).get(batch_id)


def newest(stack: Stack, limit: int) -> Sequence[tuple[Source, Batch | None]]:
    """The newest files and their batches. The batch is None if processing has not started.

    The files come from the bucket's listing. A scan of the table would also read an item for every rejected row.
    """
    versions: list[Any] = []
    pages = stack.client("s3").get_paginator("list_object_versions")
    for page in pages.paginate(Bucket=stack["batch_bucket"], Prefix=INCOMING):
        versions += (version for version in page.get("Versions", []) if not version["Key"].endswith("/"))
    versions.sort(key=lambda version: version["LastModified"], reverse=True)
    store = adapters.batches(stack)
    sources = [_source(stack, version) for version in versions[:limit]]
    return [(source, store.get(source.batch_id)) for source in sources]


def rejected_rows(stack: Stack, batch: Batch, *, limit: int) -> tuple[Sequence[RejectedRow], int]:
    """The first rows that were rejected before they became payments, and the number of further ones."""
    rows = (row for row in adapters.batches(stack).rows(batch.batch_id) if isinstance(row, RejectedRow))
    first = list(islice(rows, limit))
    return first, max(0, batch.progress.rows_rejected - len(first))


def uploaded_since(stack: Stack, since: datetime) -> Iterator[tuple[Source, datetime]]:
    """Every version of a file below `incoming/` that was uploaded since then, and when."""
    pages = (
        stack.client("s3").get_paginator("list_object_versions").paginate(Bucket=stack["batch_bucket"], Prefix=INCOMING)
    )
    for page in pages:
        for version in page.get("Versions", []):
            if version["LastModified"] >= since and not version["Key"].endswith("/"):
                yield _source(stack, version), version["LastModified"]


def result_files(batch: Batch) -> dict[str, ResultFile]:
    """Where the result files of a batch with a report are, by name."""
    return {name: batch.result_file(name) for name in RESULT_FILES}


def download(stack: Stack, batch: Batch, folder: Path) -> Sequence[Path]:
    """Write the result files into a folder. The folder is created if it does not exist."""
    folder.mkdir(parents=True, exist_ok=True)
    client = stack.client("s3")
    for name, file in result_files(batch).items():
        client.download_file(batch.source.bucket, file.key, str(folder / name), ExtraArgs=_version(file))
    return [folder / name for name in RESULT_FILES]


def contents(stack: Stack, batch: Batch) -> dict[str, str]:
    """The contents of the result files, by name."""
    client, bucket = stack.client("s3"), batch.source.bucket
    return {
        name: client.get_object(Bucket=bucket, Key=file.key, **_version(file))["Body"].read().decode()
        for name, file in result_files(batch).items()
    }


def _version(file: ResultFile) -> Any:
    """The named version as an argument. Older reports name none: then it is the newest."""
    return {"VersionId": file.version_id} if file.version_id else {}


def _source(stack: Stack, version: Any) -> Source:
    # the version is "null" if the bucket was not versioned at upload; the ETag then identifies the batch
    version_id = version["VersionId"] if version["VersionId"] != "null" else ""
    return Source(stack["batch_bucket"], version["Key"], version_id, version["ETag"].strip('"'), version["Size"])
