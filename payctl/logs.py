"""Bounded reading of the functions' log lines in CloudWatch Logs."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from payctl.stack import Stack
from payments.domain.clock import iso

MAX_PAGES = 50
"""Per log group. CloudWatch searches up to 1 MB of lines per page, and a page may be empty."""
_GROUP = "/aws/lambda/payment-"


@dataclass(frozen=True)
class LogLine:
    """A JSON log line of a function, with its time."""

    at: str
    function: str
    values: dict[str, Any]


@dataclass(frozen=True)
class Found:
    """The lines of a search, oldest first. `complete` is false if the search stopped at its limit."""

    lines: list[LogLine]
    complete: bool = True


def group_of(stack: Stack, function: str) -> str:
    """The log group of a function such as `dispatch`."""
    return f"{_GROUP}{function}-{stack.name}"


def functions(stack: Stack) -> list[str]:
    """The functions of the stack that have a log group."""
    pages = stack.client("logs").get_paginator("describe_log_groups").paginate(logGroupNamePrefix=_GROUP)
    names = [group["logGroupName"] for page in pages for group in page["logGroups"]]
    ending = f"-{stack.name}"
    return [name.removeprefix(_GROUP).removesuffix(ending) for name in names if name.endswith(ending)]


def search(stack: Stack, function: str, phrase: str, since: datetime, until: datetime | None = None) -> Found:
    """The JSON lines of a function that contain a phrase. Empty for a function that never logged."""
    client = stack.client("logs")
    asked: dict[str, Any] = {
        "logGroupName": group_of(stack, function),
        "filterPattern": f'"{phrase}"',
        "startTime": _milliseconds(since),
    }
    if until:
        asked["endTime"] = _milliseconds(until)
    lines: list[LogLine] = []
    for _ in range(MAX_PAGES):
        try:
            page = client.filter_log_events(**asked)
        except client.exceptions.ResourceNotFoundException:
            return Found([])
        lines += _read(function, page["events"])
        if not page.get("nextToken"):
            return Found(sorted(lines, key=lambda line: line.at))
        asked["nextToken"] = page["nextToken"]
    return Found(sorted(lines, key=lambda line: line.at), complete=False)


def _read(function: str, events: list[Any]) -> Iterator[LogLine]:
    for event in events:
        try:
            values = json.loads(event["message"])
        except ValueError:
            continue  # Lambda's own lines and tracebacks
        if isinstance(values, dict):
            yield LogLine(iso(datetime.fromtimestamp(event["timestamp"] / 1000, UTC)), function, values)


def _milliseconds(time: datetime) -> int:
    return int(time.timestamp() * 1000)
