"""Counters that all function instances share."""

from datetime import datetime
from typing import Protocol


class LimitsUnavailable(Exception):
    """The counters cannot be reached. The caller decides how to continue."""


class LimitStore(Protocol):
    """The limits table. A counter is deleted some time after `ends`.

    Each call is one write, and raises LimitsUnavailable.
    """

    def count(self, counter: str, ends: datetime) -> int:
        """Add one to a counter, and return its value."""

    def add(self, counter: str, member: str, *, most: int, ends: datetime) -> int:
        """Add `member` to a set, and return the number of its different members.

        A set with more than `most` members accepts no more: the result is then `most` + 1.
        """
