"""Counts events within a sliding second, for the rate limit and for measurements."""

from collections import deque
from datetime import datetime, timedelta

_SECOND = timedelta(seconds=1)


class LastSecond:
    """The times of events in the last second. The caller holds a lock, which keeps them in order."""

    def __init__(self) -> None:
        self._times: deque[datetime] = deque()

    def count(self, now: datetime) -> int:
        """The number of events less than a second ago."""
        while self._times and now - self._times[0] >= _SECOND:
            self._times.popleft()
        return len(self._times)

    def add(self, now: datetime) -> int:
        """Add an event and return the new count."""
        self._times.append(now)
        return self.count(now)
