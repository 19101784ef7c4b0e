"""The index by due time in memory."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from datetime import datetime

from payments.domain.clock import iso
from payments.domain.due import Due, Kind


class MemoryDueIndex(ABC):
    """The base of the fakes of tables that have the index."""

    @abstractmethod
    def keys(self) -> Iterable[tuple[str, Due]]:
        """The id and the key of each row that has one."""

    def due(self, kind: Kind, until: datetime) -> Iterator[tuple[str, Due]]:
        """The due rows, earliest first, as of this call."""
        last = iso(until)
        found = [(name, due) for name, due in self.keys() if due.kind is kind and due.at <= last]
        return iter(sorted(found, key=lambda row: row[1].at))

    def count(self, kind: Kind, until: datetime) -> int:
        """The number of due rows."""
        last = iso(until)
        return sum(due.kind is kind and due.at <= last for _, due in self.keys())

    def adopt(self) -> Iterator[str]:
        """Nothing: no row is older than the index."""
        return iter(())
