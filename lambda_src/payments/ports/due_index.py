"""The index of waiting work: the rows of a table by the time at which recovery must look at them."""

from collections.abc import Iterator
from datetime import datetime
from typing import Protocol

from payments.domain.due import Due, Kind


class DueIndex(Protocol):
    """The index `by-due` of one table. Eventually consistent: the row itself says whether it is due."""

    def due(self, kind: Kind, until: datetime) -> Iterator[tuple[str, Due]]:
        """The ids of the rows of a kind that are due at `until`, the earliest first, each with its key."""

    def count(self, kind: Kind, until: datetime) -> int:
        """How many rows of a kind are due at `until`."""

    def adopt(self) -> Iterator[str]:
        """Enter the rows that older code wrote, which have no due time, and yield their ids. Each is due at once.

        An entered row has left the older index. A run that stops early is continued by the next one.
        """
