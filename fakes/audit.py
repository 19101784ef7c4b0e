"""The audit log in memory."""

from collections.abc import Sequence
from dataclasses import replace

from fakes.payments import MemoryPaymentStore
from payments.domain.audit_chain import AuditEntry
from payments.ports.payment_store import VersionConflict


class MemoryAuditStore:
    """The audit log in a dict of lists, next to the fake payments store whose rows it marks."""

    def __init__(self, payments: MemoryPaymentStore, most_entries: int = 99) -> None:
        """`most_entries` is DynamoDB's limit of a transaction, less one item for the row, or a smaller number."""
        self.most_entries = most_entries
        self.log: dict[str, list[AuditEntry]] = {}
        self._payments = payments

    def append(self, entries: Sequence[AuditEntry], *, row_version: int) -> None:
        """Add the entries and mark the row. Raises VersionConflict under the same conditions as the real table.

        Raises ValueError where DynamoDB rejects the transaction as too large.
        """
        if len(entries) > self.most_entries:
            raise ValueError(f"{len(entries)} entries given; a transaction takes {self.most_entries}")
        payment_id, first, last = entries[0].payment_id, entries[0], entries[-1]
        logged = self.log.setdefault(payment_id, [])
        row = self._payments.rows[payment_id]
        if len(logged) >= first.sequence or (row.audited_version, row.version) != (first.sequence - 1, row_version):
            raise VersionConflict(f"payment {payment_id} moved on, or has audit entry {first.sequence} already")
        logged.extend(entries)
        self._payments.rows[payment_id] = replace(row, audited_version=last.sequence, audit_hash=last.hash)

    def entry(self, payment_id: str, sequence: int) -> AuditEntry | None:
        """One entry, None if there is none."""
        return next((entry for entry in self.log.get(payment_id, []) if entry.sequence == sequence), None)

    def entries(self, payment_id: str) -> list[AuditEntry]:
        """All entries of a payment, oldest first."""
        return list(self.log.get(payment_id, []))
