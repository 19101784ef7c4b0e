"""The in-memory fake of the limits table."""

from datetime import datetime


class MemoryLimitStore:
    """The counters in dicts."""

    def __init__(self) -> None:
        self.hits: dict[str, int] = {}
        self.members: dict[str, set[str]] = {}

    def count(self, counter: str, ends: datetime) -> int:  # noqa: ARG002 - nothing is dropped here
        """Add one to a counter, and return its value."""
        self.hits[counter] = self.hits.get(counter, 0) + 1
        return self.hits[counter]

    def add(self, counter: str, member: str, *, most: int, ends: datetime) -> int:  # noqa: ARG002 - as above
        """Add `member` to a set of at most `most` + 1 members, and return the number of members."""
        members = self.members.setdefault(counter, set())
        if len(members) <= most:
            members.add(member)
        return len(members)
