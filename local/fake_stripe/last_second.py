"""Counting within a sliding second, for the rate limit and for what a test measures."""

from collections import deque
from datetime import datetime, timedelta

_SECOND = timedelta(seconds=1)


class LastSecond:
    """The moments of the last second. The caller holds a lock, so that they come in their order."""

    def __init__(self) -> None:
        self._moments: deque[datetime] = deque()

    def count(self, now: datetime) -> int:
        """How many moments are less than a second ago."""
        while self._moments and now - self._moments[0] >= _SECOND:
            self._moments.popleft()
        return len(self._moments)

    def add(self, now: datetime) -> int:
        """One more; gives the count with it."""
        self._moments.append(now)
        return self.count(now)
