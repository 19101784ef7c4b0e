"""DescribeAlarms over the query protocol returns all fields of an alarm.

MiniStack returns nine fields.

Probe: `alarm_listing` in tests/local/ministack/test_upstream.py.
"""

import json
from datetime import UTC, datetime
from typing import Any

from ministack.services import cloudwatch

from local.ministack.fixes.cloudwatch import query_protocol
from local.ministack.fixes.patching import wrap


def apply() -> None:
    wrap(cloudwatch, "_describe_alarms", _describe_in_full)


def _describe_in_full(
    describe: Any, form: dict[str, Any], data: dict[str, Any], is_cbor: bool, is_json: bool = False
) -> Any:
    if is_cbor or is_json:
        return describe(form, data, is_cbor, is_json)
    # the JSON answer is complete: request it and convert it to XML
    response = describe({}, query_protocol.parse(form), False, True)
    status, _, body = response
    if status != 200:
        return describe(form, data, is_cbor, is_json)
    listing = json.loads(body)
    for kind in ("MetricAlarms", "CompositeAlarms"):
        listing[kind] = [_as_xml_tells_it(alarm) for alarm in listing[kind]]
    return cloudwatch._xml(200, "DescribeAlarmsResponse", query_protocol.to_xml("DescribeAlarmsResult", listing))


def _as_xml_tells_it(alarm: dict[str, Any]) -> dict[str, Any]:
    return {
        name: datetime.fromtimestamp(value, UTC).isoformat() if name.endswith("Timestamp") else value
        for name, value in alarm.items()
        if value not in (None, "")
    }
