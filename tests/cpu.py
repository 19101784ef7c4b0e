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
    """The CPU time of `work(length)` divided by that of `work(length // 16)`.

    If it is not linear, the best of each of two runs counts: a busy machine may have disturbed the first.
    """
    whole, part = (_seconds(work, size) for size in (length, length // PART))
    if whole / max(part, LEAST_SECONDS) >= LINEAR:
        whole, part = min(whole, _seconds(work, length)), min(part, _seconds(work, length // PART))
    return whole / max(part, LEAST_SECONDS)


def _seconds(work: Callable[[int], object], length: int) -> float:
    gc.disable()  # the time of a full collection grows with the objects of the whole test process
    try:
        began_at = time.process_time()
        work(length)
        return time.process_time() - began_at
    finally:
        gc.enable()
