"""What happens between two writes of a function."""

from collections.abc import Callable, Sequence

from payments.domain.audit_chain import AuditEntry
from payments.ports.audit_store import AuditStore


def crash() -> None:
    """End the function. Raises ConnectionError."""
    raise ConnectionError("the function crashed")


class Interrupted:
    """The audit log as a function sees it that is interrupted after a number of appends."""

    def __init__(self, log: AuditStore, appends: int, by: Callable[[], None] = crash) -> None:
        self.most_entries = log.most_entries
        self.entries = log.entries
        self.entry = log.entry
        self._append = log.append
        self._appends_left = appends
        self._by = by

    def append(self, entries: Sequence[AuditEntry], *, row_version: int) -> None:
        """Append the entries, after the interruption if it is time for it."""
        if not self._appends_left:
            self._by()
        self._appends_left -= 1
        self._append(entries, row_version=row_version)
