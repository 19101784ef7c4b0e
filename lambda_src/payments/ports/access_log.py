"""Denied attempts, stored in a table of their own.

Each entry is independent. The entries are about callers, not about the versions of a row: they form no chain. The
function that serves the internet writes them, and therefore may not write the audit log. No function may update or
delete one, and the code only adds items that do not exist yet.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Denied:
    """One denied access. `kind` and `resource_id` name the resource, or the operation; `subject` and `roles` the
    caller."""

    kind: str
    resource_id: str
    at: str
    subject: str
    roles: str
    operation: str
    ip: str
    correlation_id: str


class AccessLog(Protocol):
    """Stores denied accesses."""

    def denied(self, entry: Denied, at: datetime) -> None:
        """Store an entry of this time, to the microsecond."""
