"""Counts events within a sliding time, for rate limits and for measurements."""

from collections import deque
from datetime import datetime, timedelta

SECOND = timedelta(seconds=1)


class Recent:
    """The times of events in the last second, or in another span.

    The caller holds a lock, which keeps them in order.
    """

    def __init__(self, span: timedelta = SECOND) -> None:
        self._span = span
        self._times: deque[datetime] = deque()

    def count(self, now: datetime) -> int:
        """The number of events less than the span ago."""
        while self._times and now - self._times[0] >= self._span:
            self._times.popleft()
        return len(self._times)

    def add(self, now: datetime) -> int:
        """Add an event and return the new count."""
        self._times.append(now)
        return self.count(now)
