"""A deadline that restarts with every progress: a slow machine gets more time, a stuck process does not."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

MOST_PERIODS = 20
"""The total limit, in periods. It ends the wait for a value that keeps changing without a result."""


@dataclass
class Deadline:
    """Over if the observed value does not change for `seconds`.

    deadline = Deadline(60)
    while not deadline.over(look()):
        sleep(1)
    """

    seconds: float
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

    def over(self, seen: object) -> bool:
        """Whether to give up. `seen` is the progress so far: any comparable value except None."""
        now = self.clock()
        if seen != self._last:
            self._last, self._moved_at = seen, now
        return now - self._moved_at >= self.seconds or now - self._began_at >= MOST_PERIODS * self.seconds
