"""One suite for the bucket of batch files on S3 (moto) and for its in-memory fake."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from fakes.batch_files import MemoryBatchFiles
from payments.adapters import s3
from payments.adapters.s3 import S3BatchFiles
from payments.domain.batch.report import FileParts, ResultFile
from payments.domain.batch.state import Source
from payments.ports.batch_files import LEAST_PART_BYTES, BatchFiles, UploadLost
from tests.moto_tables import aws_in_memory


@dataclass(frozen=True)
class Bucket:
    files: BatchFiles
    upload: Callable[[str, bytes], Source]
    result: Callable[[ResultFile], bytes]


@pytest.fixture(params=["memory", "s3"])
def bucket(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bucket]:
    if request.param == "memory":
        memory = MemoryBatchFiles()
        versions = iter(f"v{n}" for n in range(100))
        yield Bucket(
            memory, lambda key, content: memory.upload(key, content, next(versions)), memory.versions.__getitem__
        )
        return
    monkeypatch.setattr(s3, "_RANGE_BYTES", 1000)
    with aws_in_memory():
        client = boto3.client("s3")
        client.create_bucket(Bucket="bucket")
        client.put_bucket_versioning(Bucket="bucket", VersioningConfiguration={"Status": "Enabled"})

        def there(params: dict[str, Any], **_: object) -> None:
            """moto fails with a KeyError of its own."""
            uploads = client.list_multipart_uploads(Bucket="bucket").get("Uploads", [])
            if params["UploadId"] not in [begun.get("UploadId") for begun in uploads]:
                raise ClientError({"Error": {"Code": "NoSuchUpload", "Message": "-"}}, "UploadPart")

        client.meta.events.register("provide-client-params.s3.UploadPart", there)

        def upload(key: str, content: bytes) -> Source:
            answer: Any = client.put_object(Bucket="bucket", Key=key, Body=content)
            return Source("bucket", key, answer["VersionId"], answer["ETag"], len(content))

        yield Bucket(
            S3BatchFiles(client),
            upload,
            lambda file: client.get_object(Bucket="bucket", Key=file.key, VersionId=file.version_id)["Body"].read(),
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


PARTS = (b"a" * LEAST_PART_BYTES, b"b" * (LEAST_PART_BYTES + 1))


def uploaded(bucket: Bucket, source: Source, *contents: bytes) -> FileParts:
    parts = FileParts()
    for content in contents:
        parts = bucket.files.add_part(source, "results.csv", parts, content)
    return parts


@pytest.mark.fault(68)
def test_finish_writes_a_small_file_below_the_uploads_own_name(bucket: Bucket) -> None:
    source = bucket.upload("incoming/2026/pay roll.CSV", b"x")
    file = bucket.files.finish(source, "errors.csv", FileParts(), b"line\r\n")
    assert file.key == f"results/2026/pay roll.CSV/{source.batch_id}/errors.csv"
    assert bucket.result(file) == b"line\r\n"


@pytest.mark.fault(68)
def test_finish_names_the_version_that_it_wrote(bucket: Bucket) -> None:
    source = bucket.upload("incoming/a.csv", b"x")
    first = bucket.files.finish(source, "errors.csv", FileParts(), b"1")
    second = bucket.files.finish(source, "errors.csv", FileParts(), b"2")
    assert (bucket.result(first), bucket.result(second)) == (b"1", b"2")


@pytest.mark.fault(63)
@pytest.mark.parametrize("rest", [b"", b"c"])
def test_finish_joins_the_parts_of_several_runs(bucket: Bucket, rest: bytes) -> None:
    source = bucket.upload("incoming/a.csv", b"x")
    first = uploaded(bucket, source, PARTS[0])
    bucket.files.add_part(source, "results.csv", first, b"a run that was stopped before it could store its part")
    parts = bucket.files.add_part(source, "results.csv", first, PARTS[1])
    file = bucket.files.finish(source, "results.csv", parts, rest)
    assert bucket.result(file) == b"".join(PARTS) + rest


@pytest.mark.fault(63)
def test_finish_when_repeated_after_a_stop_then_the_same_version(bucket: Bucket) -> None:
    source = bucket.upload("incoming/a.csv", b"x")
    parts = uploaded(bucket, source, *PARTS)
    file = bucket.files.finish(source, "results.csv", parts, b"c")
    assert bucket.files.finish(source, "results.csv", parts, b"c") == file
    assert bucket.result(file) == b"".join(PARTS) + b"c"


@pytest.mark.fault(63)
def test_finish_when_another_run_replaced_a_part_then_the_upload_is_lost(bucket: Bucket) -> None:
    source = bucket.upload("incoming/a.csv", b"x")
    parts = uploaded(bucket, source, *PARTS)
    bucket.files.add_part(source, "results.csv", replace(parts, etags=parts.etags[:1]), PARTS[0])
    with pytest.raises(UploadLost):
        bucket.files.finish(source, "results.csv", parts, b"c")


@pytest.mark.fault(63)
def test_finish_without_the_upload_but_with_another_runs_file_is_lost(bucket: Bucket) -> None:
    source = bucket.upload("incoming/a.csv", b"x")
    bucket.files.finish(source, "results.csv", FileParts(), b"of another run")
    with pytest.raises(UploadLost):
        bucket.files.finish(source, "results.csv", FileParts("gone", "t", ("e",)), b"c")
    with pytest.raises(UploadLost):
        bucket.files.add_part(source, "results.csv", FileParts("gone", "t", ("e",)), PARTS[0])


@pytest.mark.fault(63)
def test_tails_are_read_as_stored_each_under_a_key_of_its_own(bucket: Bucket) -> None:
    source = bucket.upload("incoming/a.csv", b"x")
    first, second = (bucket.files.save_tails(source, content) for content in (b"1", b"2"))
    assert first.startswith(f"reporting/{source.batch_id}/")
    assert [bucket.files.read_tails(source, key) for key in (first, second)] == [b"1", b"2"]
    with pytest.raises(UploadLost):
        bucket.files.read_tails(source, f"{first}0")
