"""Denied accesses in a list."""

from datetime import datetime

from payments.ports.access_log import Denied


class MemoryAccessLog:
    """Denied accesses in a list."""

    def __init__(self) -> None:
        self.entries: list[Denied] = []

    def denied(self, entry: Denied, at: datetime) -> None:  # noqa: ARG002 - the port's
        """Append the entry to the list."""
        self.entries.append(entry)
