"""Times that a test cannot wait for, made shorter. (Waits of state machines: MiniStack's own SFN_WAIT_SCALE.)

SCHEDULE_SCALE multiplies the interval of every `rate(...)` of EventBridge Scheduler and of rules: with 0.05 a minute
is 3 s. `cron(...)` and `at(...)` name a time of day and stay as they are.
VISIBILITY_SCALE multiplies how long a message stays hidden that an event source mapping has read, or that somebody
hands back for later: with 0.01 six minutes are 3.6 s. What a caller receives by itself stays hidden as long as the
queue says. Shorter than the function runs, it brings the message a second time while the first is at work.
"""

import os
import time
from typing import Any, Final

from ministack.services import eventbridge, sqs

from local.ministack.fixes.patching import wrap

SCHEDULE_SCALE: Final = float(os.environ.get("SCHEDULE_SCALE", "1"))
VISIBILITY_SCALE: Final = float(os.environ.get("VISIBILITY_SCALE", "1"))


def start() -> None:
    """Scale from now on; with 1 nothing changes."""
    wrap(eventbridge, "_parse_rate_seconds", _shorter_interval)
    wrap(sqs, "_receive_messages_for_esm", _hidden_for_less)
    change = sqs._HANDLERS["ChangeMessageVisibility"]
    sqs._HANDLERS["ChangeMessageVisibility"] = lambda data, queue_url: change(_sooner(data), queue_url)


def _shorter_interval(parse: Any, expression: str) -> float | None:
    seconds = parse(expression)
    return None if seconds is None else seconds * SCHEDULE_SCALE


def _hidden_for_less(receive: Any, queue_url: str, most: int) -> list[dict[str, Any]]:
    messages: list[dict[str, Any]] = receive(queue_url, most)
    now = time.time()
    for message in messages:  # nobody else changes it: its function has not been called yet
        message["visible_at"] = now + (message["visible_at"] - now) * VISIBILITY_SCALE
    return messages


def _sooner(data: dict[str, Any]) -> dict[str, Any]:
    return data | {"VisibilityTimeout": int(float(data.get("VisibilityTimeout", 0)) * VISIBILITY_SCALE)}
