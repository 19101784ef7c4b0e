"""A read of a version returns the range of bytes that it asks for, without the checksum of the whole object.

MiniStack returns the whole version.

Probe: `version_ranges` in tests/local/ministack/test_upstream.py.
"""

from typing import Any

from ministack.services import s3

from local.ministack.fixes.patching import wrap

_OF_THE_WHOLE = ("range", "x-amz-checksum-mode")


def apply() -> None:
    wrap(s3, "_get_object", _get)


def _get(get: Any, bucket: str, key: str, headers: Any, query: Any = None) -> Any:
    asked = headers.get("range", "")
    if not asked or not s3._qp(query or {}, "versionId", ""):
        return get(bucket, key, headers, query)
    status, answered, body = get(bucket, key, {k: v for k, v in headers.items() if k not in _OF_THE_WHOLE}, query)
    if status != 200:
        return status, answered, body
    found = s3._parse_range(asked, len(body))
    if found is None:
        refused = {"Content-Type": "application/xml", "Content-Range": f"bytes */{len(body)}"}
        return 416, refused, s3._xml_body(s3._range_error_xml(bucket, key))
    first, last = found
    part = body[first : last + 1]
    content_range = f"bytes {first}-{last}/{len(body)}"
    return 206, answered | {"Content-Length": str(len(part)), "Content-Range": content_range}, part
