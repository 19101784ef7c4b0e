"""How long to wait for something that moves: a slow machine takes longer for all of it, and stands still no sooner."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

MOST_PERIODS = 20
"""What changes for ever is given up as well, after this many times the period."""


@dataclass
class Deadline:
    """Over when what is looked at has not changed for `seconds`.

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
        """Seconds since it began."""
        return self.clock() - self._began_at

    def over(self, seen: object) -> bool:
        """Whether to give up. `seen` is the progress so far: anything that compares, other than None."""
        now = self.clock()
        if seen != self._last:
            self._last, self._moved_at = seen, now
        return now - self._moved_at >= self.seconds or now - self._began_at >= MOST_PERIODS * self.seconds
