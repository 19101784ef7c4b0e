"""Shortens times that are too long for tests. (MiniStack's own SFN_WAIT_SCALE shortens the waits of state machines.)

SCHEDULE_SCALE multiplies the interval of every `rate(...)` of EventBridge Scheduler and of rules: with 0.05 a minute
is 3 s. `cron(...)` and `at(...)` name a time of day and are not changed.

VISIBILITY_SCALE multiplies the visibility timeout of messages that an event source mapping reads, the timeout that
ChangeMessageVisibility sets, and the delay that SendMessage sets: with 0.01 six minutes are 3.6 s. Messages that a
caller receives directly keep the queue's timeout. If the scaled timeout is shorter than the function's run, the message
is delivered again during the run.
"""

import os
import time
from typing import Any, Final

from ministack.services import eventbridge, sqs

from local.ministack.fixes.patching import wrap

SCHEDULE_SCALE: Final = float(os.environ.get("SCHEDULE_SCALE", "1"))
VISIBILITY_SCALE: Final = float(os.environ.get("VISIBILITY_SCALE", "1"))


def start() -> None:
    """Apply both scales. A scale of 1 changes nothing."""
    wrap(eventbridge, "_parse_rate_seconds", _shorter_interval)
    wrap(sqs, "_receive_messages_for_esm", _hidden_for_less)
    for call, name in (("ChangeMessageVisibility", "VisibilityTimeout"), ("SendMessage", "DelaySeconds")):
        sqs._HANDLERS[call] = _with_a_shorter(name, sqs._HANDLERS[call])


def _shorter_interval(parse: Any, expression: str) -> float | None:
    seconds = parse(expression)
    return None if seconds is None else seconds * SCHEDULE_SCALE


def _hidden_for_less(receive: Any, queue_url: str, most: int) -> list[dict[str, Any]]:
    messages: list[dict[str, Any]] = receive(queue_url, most)
    now = time.time()
    for message in messages:  # no other thread changes them: the function has not been called yet
        message["visible_at"] = now + (message["visible_at"] - now) * VISIBILITY_SCALE
    return messages


def _with_a_shorter(name: str, call: Any) -> Any:
    return lambda data, queue_url: call(_shorter(data, name), queue_url)


def _shorter(data: dict[str, Any], name: str) -> dict[str, Any]:
    return data | {name: int(float(data[name]) * VISIBILITY_SCALE)} if name in data else data
