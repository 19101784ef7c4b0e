"""How tests wait for something that another process does."""

import time
from collections.abc import Callable

from payctl.deadline import Deadline

PATIENCE_SECONDS = 120
"""A wait fails after so many seconds without progress."""

SHARE_OF_A_PAUSE = 0.1
LONGEST_PAUSE_SECONDS = 0.5
"""The pauses between two reads grow: a tenth of the time waited so far, up to this. Each read of a stack costs an
invocation, and on a busy machine those that wait would slow down what they wait for."""


def eventually[T](
    waits_for: str,
    read: Callable[[], T | None],
    wanted: Callable[[T], object] = bool,
    seconds: float = PATIENCE_SECONDS,
    every: float = 0.05,
    progress: Callable[[T | None], object] = repr,
) -> T:
    """Read until a value is wanted, and return it. None is never wanted. `every` is the first pause in seconds.

    Fails if the progress does not change for `seconds`, and says what it waited for. The progress is the value, unless
    `progress` makes it from the value: a value that goes back and forth is no progress. Any other error that ends the
    wait, such as the time limit of the test, has the same text as a note.
    """
    deadline, began = Deadline(seconds, waits_for), time.monotonic()
    try:
        while True:
            value = read()
            if value is not None and wanted(value):
                return value
            if deadline.over(progress(value)):
                break
            grown = min(SHARE_OF_A_PAUSE * (time.monotonic() - began), LONGEST_PAUSE_SECONDS)
            time.sleep(max(every, grown))
    except BaseException as error:
        error.add_note(deadline.report)
        raise
    raise AssertionError(deadline.report)


def smallest_so_far[T](size: Callable[[T | None], int]) -> Callable[[T | None], tuple[int, T | None]]:
    """A `progress` for values that must shrink: it changes only with a new smallest size. Gives size and value."""
    smallest: list[tuple[int, T | None]] = []

    def progress(value: T | None) -> tuple[int, T | None]:
        if not smallest or size(value) < smallest[0][0]:
            smallest[:] = [(size(value), value)]
        return smallest[0]

    return progress
