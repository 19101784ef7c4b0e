"""The stored points of a metric in the order of their time, so that an alarm reads only those of its periods.

MiniStack stores two weeks of points in the order of arrival. Alarms read them every few seconds.
"""

import bisect
import threading
from collections import defaultdict
from typing import Any, Final

from ministack.services import cloudwatch

type Point = dict[str, Any]


class _Ordered:
    """A copy of a metric's points, ordered by time. Later points are added to it when it is read."""

    def __init__(self) -> None:
        self._source: list[Point] = []
        self._read = 0
        self._points: list[Point] = []

    def between(self, source: list[Point], start: float, end: float) -> list[Point]:
        if source is not self._source:  # MiniStack replaces the list when it removes old points
            self._source, self._read, self._points = source, 0, []
        new = source[self._read :]
        self._read += len(new)
        if new:
            self._points += new
            self._points.sort(key=_time)  # fast: nearly all are in order
        first = bisect.bisect_right(self._points, start, key=_time)
        return self._points[first : bisect.bisect_right(self._points, end, key=_time)]


_lock = threading.Lock()
_ordered: Final[defaultdict[Any, _Ordered]] = defaultdict(_Ordered)


def points_between(metric: tuple[str, str, str], start: float, end: float) -> list[Point]:
    """The points of a metric (namespace, name, dimensions as text) after `start` up to `end`, in seconds since 1970."""
    source = cloudwatch._metrics.get(metric)
    if not source:
        return []
    with _lock:
        return _ordered[cloudwatch._metrics._scoped(metric)].between(source, start, end)


def _time(point: Point) -> float:
    time: float = point["Timestamp"]
    return time
