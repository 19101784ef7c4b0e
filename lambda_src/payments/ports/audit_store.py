"""Storage of the audit log."""

from collections.abc import Sequence
from typing import Protocol

from payments.domain.audit_chain import AuditEntry


class AuditStore(Protocol):
    """The audit log: append-only, one entry for each version of a payment's row."""

    def append(self, entries: Sequence[AuditEntry]) -> None:
        """Add the next entries of a payment and mark its row as audited up to the last of them, in one transaction.

        The last entry must belong to the row's current version. Raises VersionConflict if it does not, or if a
        sequence is taken. Entries are never overwritten.
        """

    def entries(self, payment_id: str) -> list[AuditEntry]:
        """All entries of a payment, oldest first."""
