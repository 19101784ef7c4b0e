"""Retry respects MaxDelaySeconds and JitterStrategy.

MiniStack ignores both. (SFN_WAIT_SCALE, MiniStack's own setting, shortens the delay.)

Probe: `retry_delays` in tests/local/ministack/test_upstream.py.
"""

import random
from typing import Any

from ministack.services import stepfunctions

from local.ministack.fixes.patching import wrap


def apply() -> None:
    wrap(stepfunctions, "_find_matching_retrier", _with_the_right_delay)


def _with_the_right_delay(
    find: Any, retriers: list[dict[str, Any]], error: str, retry_counts: dict[int, int]
) -> tuple[dict[str, Any] | None, int]:
    retrier, index = find(retriers, error, retry_counts)
    if retrier is None:
        return None, index
    # MiniStack computes interval * rate ** count; with a rate of 1 the result is our delay
    delay = delay_seconds(retrier, retry_counts.get(index, 0))
    return {**retrier, "IntervalSeconds": delay, "BackoffRate": 1.0}, index


def delay_seconds(retrier: dict[str, Any], retries_done: int) -> float:
    """Seconds to wait before the next attempt: exponential, limited to MaxDelaySeconds, then jittered."""
    delay = retrier.get("IntervalSeconds", 1) * retrier.get("BackoffRate", 2.0) ** retries_done
    delay = min(delay, retrier.get("MaxDelaySeconds", delay))
    return random.uniform(0, delay) if retrier.get("JitterStrategy") == "FULL" else delay  # noqa: S311
