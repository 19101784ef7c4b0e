"""A deadline that restarts with every progress: a slow machine gets more time, a stuck process does not."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

LONGEST_PROGRESS = 2000
"""The most characters of the last progress in the report."""


@dataclass
class Deadline:
    """Over if the progress does not change for `seconds`, however long the whole takes.

    deadline = Deadline(60, "the result files")
    while not (files := read()):
        if deadline.over(rows_closed()):
            raise Failure(deadline.report)
        sleep(1)

    The progress must be a value that ends, such as a count or the row of a payment: a value that goes back and forth
    is progress each time.
    """

    seconds: float
    waits_for: str
    clock: Callable[[], float] = time.monotonic
    _last: object = field(default=None, init=False)
    _moved_at: float = field(init=False)
    _began_at: float = field(init=False)

    def __post_init__(self) -> None:
        self._began_at = self._moved_at = self.clock()

    @property
    def waited(self) -> float:
        """Seconds since the start."""
        return self.clock() - self._began_at

    @property
    def report(self) -> str:
        """What it waited for, how long, and the last progress. Without a full stop."""
        last = "no progress was seen" if self._last is None else f"the last was {self._last!s:.{LONGEST_PROGRESS}}"
        waited = f"no progress for {self.seconds:g} s, {self.waited:.0f} s in all"
        return f"gave up waiting for {self.waits_for}: {waited}; {last}"

    def over(self, progress: object) -> bool:
        """Whether to give up. `progress` is any comparable value. None means that there is none yet."""
        now = self.clock()
        if progress != self._last:
            self._last, self._moved_at = progress, now
        return now - self._moved_at >= self.seconds
