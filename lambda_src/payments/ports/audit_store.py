"""Storage of the audit log."""

from collections.abc import Sequence
from typing import Protocol

from payments.domain.audit_chain import AuditEntry


class AuditStore(Protocol):
    """The audit log: append-only, one entry a version of a payment's row."""

    def append(self, entries: Sequence[AuditEntry]) -> None:
        """Add a payment's next entries and mark its row as audited up to the last of them: all or nothing.

        The last entry must be that of the row's current version. Raises VersionConflict if it is not, or if a
        sequence is taken; nothing is ever overwritten.
        """

    def entries(self, payment_id: str) -> list[AuditEntry]:
        """All entries of a payment, oldest first."""
