"""Who reached for what is not theirs: kept in the audit log, beside the payments' own entries.

These entries stand each for itself. They are about callers, not about a row's versions, so there is no chain to hold
them to. No function may update or delete in the table, and the code puts only what is not there yet.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Denied:
    """One denied access. `kind` and `resource_id` name what was reached for, `subject` and `roles` who did."""

    kind: str
    resource_id: str
    at: str
    subject: str
    roles: str
    operation: str
    ip: str
    correlation_id: str


class AccessLog(Protocol):
    """Keeps denied accesses. Adapters: `DynamoAccessLog` and its twin `MemoryAccessLog`."""

    def denied(self, entry: Denied, at: datetime) -> None:
        """Keep an entry of this time, to the microsecond."""
