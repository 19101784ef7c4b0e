"""The in-memory fake of the limits table."""

from collections.abc import Mapping
from datetime import datetime

from payments.ports.limit_store import CounterFull


class MemoryLimitStore:
    """The counters in dicts."""

    def __init__(self) -> None:
        self.hits: dict[str, int] = {}
        self.members: dict[str, dict[str, set[str]]] = {}
        self.writes = 0
        """How often a set was asked to take a member."""

    def count(self, counter: str, ends: datetime) -> int:  # noqa: ARG002 - nothing is dropped here
        """Add one to a counter, and return its value."""
        self.hits[counter] = self.hits.get(counter, 0) + 1
        return self.hits[counter]

    def add(
        self,
        counter: str,
        member: str,
        *,
        most: Mapping[str, int],
        ends: datetime,  # noqa: ARG002 - as above
    ) -> Mapping[str, frozenset[str]]:
        """Add `member` to sets of at most `most` + 1 members, and return all sets of the counter."""
        self.writes += 1
        sets = self.members.setdefault(counter, {})
        if any(len(sets.get(name, ())) > limit for name, limit in most.items()):
            raise CounterFull(counter)
        for name in most:
            sets.setdefault(name, set()).add(member)
        return {name: frozenset(members) for name, members in sets.items()}
