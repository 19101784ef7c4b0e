"""How work grows with its input: in CPU time of this process, which a busy machine stretches little."""

import gc
import time
from collections.abc import Callable

PART = 16
LINEAR = 4 * PART
"""Sixteen times the input takes linear work 16 times as long, quadratic work 256 times: a factor of 4 for noise."""
LEAST_SECONDS = 0.005
"""Less than this is mostly the clock's own resolution."""


def growth(work: Callable[[int], object], length: int) -> float:
    """How many times as much CPU time `work(length)` takes as `work(length // 16)`, the best of two tries each."""
    whole, part = (min(_seconds(work, size) for _ in range(2)) for size in (length, length // PART))
    return whole / max(part, LEAST_SECONDS)


def _seconds(work: Callable[[int], object], length: int) -> float:
    gc.collect()
    gc.disable()  # a full collection costs as much as the rest of the test process has objects
    try:
        began_at = time.process_time()
        work(length)
        return time.process_time() - began_at
    finally:
        gc.enable()
