"""An object from a multipart upload has the tags of the request that created the upload.

MiniStack drops them.

Probe: `upload_tags` in tests/local/ministack/test_upstream.py.
"""

from typing import Any
from urllib.parse import parse_qsl

from ministack.services import s3

from local.ministack.fixes.patching import wrap

_tags: dict[str, dict[str, str]] = {}


def apply() -> None:
    wrap(s3, "_create_multipart_upload", _remember)
    wrap(s3, "_complete_multipart_upload", _tag)


def _remember(create: Any, bucket: str, key: str, headers: Any) -> Any:
    before = set(s3._multipart_uploads)
    answer = create(bucket, key, headers)
    for upload_id in set(s3._multipart_uploads) - before:
        _tags[upload_id] = dict(parse_qsl(headers.get("x-amz-tagging", ""), keep_blank_values=True))
    return answer


def _tag(complete: Any, bucket: str, key: str, body: Any, query: Any, headers: Any = None) -> Any:
    answer = complete(bucket, key, body, query, headers)
    tags = _tags.pop(s3._qp(query, "uploadId"), {})
    if answer[0] == 200 and tags:
        s3._object_tags[(bucket, key, answer[1].get("x-amz-version-id"))] = tags
    return answer
