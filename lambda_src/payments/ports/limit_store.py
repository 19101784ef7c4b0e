"""Counters that all function instances share."""

from collections.abc import Mapping
from datetime import datetime
from typing import Protocol


class LimitsUnavailable(Exception):
    """The counters cannot be reached. The caller decides how to continue."""


class CounterFull(Exception):
    """A set of the counter has more members than the call allows. Nothing was written."""


class LimitStore(Protocol):
    """The limits table. A counter is deleted some time after `ends`.

    Each call is one write, and raises LimitsUnavailable.
    """

    def count(self, counter: str, ends: datetime) -> int:
        """Add one to a counter, and return its value."""

    def add(
        self, counter: str, member: str, *, most: Mapping[str, int], ends: datetime
    ) -> Mapping[str, frozenset[str]]:
        """Add `member` to each set of the counter that `most` names, and return all sets of the counter.

        A set with more members than its `most` accepts no more. Raises CounterFull if one of them is so.
        """
