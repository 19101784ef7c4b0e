"""One suite for the bucket of batch files on S3 (moto) and for its in-memory fake."""

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import boto3
import pytest

from fakes.batch_files import MemoryBatchFiles
from payments.adapters import s3
from payments.adapters.s3 import S3BatchFiles
from payments.domain.batch.state import Source
from payments.ports.batch_files import BatchFiles
from tests.moto_tables import aws_in_memory


@dataclass(frozen=True)
class Bucket:
    files: BatchFiles
    upload: Callable[[str, bytes], Source]
    result: Callable[[str], bytes]


@pytest.fixture(params=["memory", "s3"])
def bucket(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bucket]:
    if request.param == "memory":
        memory = MemoryBatchFiles()
        versions = iter(f"v{n}" for n in range(100))
        yield Bucket(
            memory, lambda key, content: memory.upload(key, content, next(versions)), memory.results.__getitem__
        )
        return
    monkeypatch.setattr(s3, "_RANGE_BYTES", 1000)
    with aws_in_memory():
        client = boto3.client("s3")
        client.create_bucket(Bucket="bucket")
        client.put_bucket_versioning(Bucket="bucket", VersioningConfiguration={"Status": "Enabled"})

        def upload(key: str, content: bytes) -> Source:
            answer: Any = client.put_object(Bucket="bucket", Key=key, Body=content)
            return Source("bucket", key, answer["VersionId"], answer["ETag"], len(content))

        yield Bucket(
            S3BatchFiles(client), upload, lambda key: client.get_object(Bucket="bucket", Key=key)["Body"].read()
        )


@pytest.mark.parametrize("size_bytes", [0, 1, 999, 1000, 1001, 3500])
def test_read_when_of_any_size_then_the_bytes_come_in_order(bucket: Bucket, size_bytes: int) -> None:
    content = bytes(n % 251 for n in range(size_bytes))
    assert b"".join(bucket.files.read(bucket.upload("incoming/a.csv", content))) == content


@pytest.mark.parametrize("start", [0, 1, 1000, 1001, 3499, 3500])
def test_read_from_a_byte_returns_the_rest_of_the_file(bucket: Bucket, start: int) -> None:
    content = bytes(n % 251 for n in range(3500))
    assert b"".join(bucket.files.read(bucket.upload("incoming/a.csv", content), start)) == content[start:]


def test_read_returns_the_requested_version_of_a_key_uploaded_again(bucket: Bucket) -> None:
    first = bucket.upload("incoming/a.csv", b"first")
    bucket.upload("incoming/a.csv", b"second")
    assert b"".join(bucket.files.read(first)) == b"first"


def test_write_when_done_then_the_result_stands_under_the_files_name(bucket: Bucket) -> None:
    source = bucket.upload("incoming/2026/pay roll.CSV", b"x")
    key = bucket.files.write(source, "errors.csv", io.BytesIO(b"line\r\n"))
    assert key == "results/2026/pay roll.CSV/errors.csv"
    assert bucket.result(key) == b"line\r\n"
