"""Limits the read units that several threads take from the tables in a second."""

from collections.abc import Callable
from threading import Lock

MOST_UNITS_A_PAGE = 256
"""A page of one megabyte, in units of 4 KB."""


class ReadRate:
    """Each reader takes the units of a whole page before it reads one, and gives back what the page did not need.

    Therefore all readers together never read more than the rate, also when they begin at the same moment. `monotonic`
    and `sleep` are in seconds.
    """

    def __init__(self, units_a_second: float, monotonic: Callable[[], float], sleep: Callable[[float], None]) -> None:
        self._rate = units_a_second
        self._monotonic = monotonic
        self._sleep = sleep
        self._lock = Lock()
        self._free_at = monotonic()

    def take(self) -> None:
        """Wait until a page may be read."""
        with self._lock:
            begins = max(self._free_at, self._monotonic())
            self._free_at = begins + MOST_UNITS_A_PAGE / self._rate
            wait = begins - self._monotonic()
        if wait > 0:
            self._sleep(wait)

    def read(self, units: float) -> None:
        """Say how many units the page took."""
        with self._lock:
            self._free_at += (units - MOST_UNITS_A_PAGE) / self._rate
