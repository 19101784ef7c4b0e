"""Storage of the audit log."""

from collections.abc import Sequence
from typing import Protocol

from payments.domain.audit_chain import AuditEntry


class AuditStore(Protocol):
    """The audit log: append-only, one entry for each version of a payment's row."""

    most_entries: int
    """The most entries of one append. An append of more fails and writes nothing."""

    def append(self, entries: Sequence[AuditEntry], *, row_version: int) -> None:
        """Add the next entries of a payment and mark its row as audited up to the last of them, in one transaction.

        `row_version` is the version of the row that the entries were made from. With the entry of this version, the
        log covers the row: if its status is settled, it leaves the unsettled payments. Raises VersionConflict if the
        row moved on, or if a sequence is taken or left out. Entries are never overwritten.
        """

    def entry(self, payment_id: str, sequence: int) -> AuditEntry | None:
        """One entry, None if there is none. Strongly consistent."""

    def entries(self, payment_id: str) -> list[AuditEntry]:
        """All entries of a payment, oldest first. Strongly consistent."""
