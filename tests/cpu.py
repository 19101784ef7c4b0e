"""How work grows with its input, in CPU time of this process: a busy machine changes it little."""

import gc
import time
from collections.abc import Callable

PART = 16
LINEAR = 4 * PART
"""With 16 times the input, linear work takes 16 times as long, quadratic work 256 times: a factor of 4 for noise."""
LEAST_SECONDS = 0.005
"""Shorter times are mostly the clock's resolution."""


def growth(work: Callable[[int], object], length: int) -> float:
    """The CPU time of `work(length)` divided by that of `work(length // 16)`, each the best of two runs."""
    whole, part = (min(_seconds(work, size) for _ in range(2)) for size in (length, length // PART))
    return whole / max(part, LEAST_SECONDS)


def _seconds(work: Callable[[int], object], length: int) -> float:
    gc.collect()
    gc.disable()  # the time of a full collection grows with the objects of the whole test process
    try:
        began_at = time.process_time()
        work(length)
        return time.process_time() - began_at
    finally:
        gc.enable()
