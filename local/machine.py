"""Measures the current speed of this machine. Times that depend on the machine are scaled by it."""

import json
import statistics
import time
from typing import Final

ORDINARY_SECONDS: Final = 0.045
"""The duration of the measured work on an idle reference machine. Our times were chosen on that machine."""
SAMPLES: Final = 7
WORK: Final = [{"payment_id": f"pay_{number}", "amount": number, "tags": ["a", "b"]} for number in range(100)]


def slowness() -> float:
    """The slowdown against the idle reference machine, measured now with a piece of Python. At least 1."""
    return max(1.0, statistics.median(_seconds() for _ in range(SAMPLES)) / ORDINARY_SECONDS)


def _seconds() -> float:
    began_at = time.perf_counter()
    for _ in range(500):
        json.loads(json.dumps(WORK))
    return time.perf_counter() - began_at
