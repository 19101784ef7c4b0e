"""How work grows with its input: in CPU time of this process, which a busy machine does not stretch."""

import time
from collections.abc import Callable

QUARTER = 4
LINEAR = 2 * QUARTER
"""Four times the input takes linear work four times as long, quadratic work sixteen times: between them is noise."""
LEAST_SECONDS = 0.01
"""Less than this is mostly the clock's own resolution."""


def growth(work: Callable[[int], object], length: int) -> float:
    """How many times as much CPU time `work(length)` takes as `work(length // 4)`, the best of two tries each."""
    whole, quarter = (min(_seconds(work, size) for _ in range(2)) for size in (length, length // QUARTER))
    return whole / max(quarter, LEAST_SECONDS)


def _seconds(work: Callable[[int], object], length: int) -> float:
    began_at = time.process_time()
    work(length)
    return time.process_time() - began_at
