"""How quick this machine is at the moment: whatever is timed by what a machine can do is timed by this."""

import json
import statistics
import time
from typing import Final

ORDINARY_SECONDS: Final = 0.045
"""What the measured work takes on the machine that our times were chosen on, with nothing else to do."""
SAMPLES: Final = 7
WORK: Final = [{"payment_id": f"pay_{number}", "amount": number, "tags": ["a", "b"]} for number in range(100)]


def slowness() -> float:
    """How many times as long as on an ordinary, idle machine a piece of Python takes here now; 1 or more."""
    return max(1.0, statistics.median(_seconds() for _ in range(SAMPLES)) / ORDINARY_SECONDS)


def _seconds() -> float:
    began_at = time.perf_counter()
    for _ in range(500):
        json.loads(json.dumps(WORK))
    return time.perf_counter() - began_at
