"""A lease in memory."""

from datetime import datetime

from payments.domain.clock import iso


class MemoryLease:
    """The owner and the end of the lease in two attributes."""

    def __init__(self) -> None:
        self._owner, self._until = "", ""

    def take(self, owner: str, at: datetime, until: datetime) -> bool:
        """Take the lease. False if another owner holds it."""
        if self._until > iso(at) and self._owner != owner:
            return False
        self._owner, self._until = owner, iso(until)
        return True

    def release(self, owner: str) -> None:
        """End the lease, if `owner` holds it."""
        if self._owner == owner:
            self._until = ""
