"""In-memory twins of the tables, for tests and the simulation. They pass the same contract suite as DynamoDB."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime

from payments.audit import AuditEntry
from payments.clock import iso
from payments.payment import Payment
from payments.sealed_fields import new_plain_texts, sealed
from payments.sealing import Vault
from payments.statuses import SETTLED
from payments.stores.port import AlreadyExists, VersionConflict


class MemoryPaymentStore:
    """The payments table in a dict. With a vault it holds private fields as the real one does, else as they come."""

    def __init__(self, vault: Vault | None = None) -> None:
        self.rows: dict[str, Payment] = {}
        self._vault = vault

    def create(self, payment: Payment) -> None:
        """See the port."""
        if self._vault:
            payment = sealed(payment, self._vault)
        existing = self.rows.setdefault(payment.payment_id, payment)
        if existing is not payment:
            raise AlreadyExists(existing)

    def get(self, payment_id: str) -> Payment | None:
        """See the port."""
        return self.rows.get(payment_id)

    def save(self, payment: Payment) -> None:
        """See the port."""
        current = self.rows.get(payment.payment_id)
        plain_text = self._vault and current and new_plain_texts(payment, current)
        if current is None or current.version != payment.version - 1 or plain_text:
            raise VersionConflict(f"payment {payment.payment_id} is not at version {payment.version - 1}")
        self.rows[payment.payment_id] = replace(
            payment,
            audited_version=current.audited_version,
            audit_hash=current.audit_hash,
            batch_row_closed=current.batch_row_closed,
            restarts=current.restarts,
            restarted_at=current.restarted_at,
        )

    def of_batch(self, batch_id: str) -> Iterator[Payment]:
        """See the port."""
        rows = [row for row in self.rows.values() if row.batch_id == batch_id]
        return iter(sorted(rows, key=lambda row: row.batch_line))

    def unsettled(self, before: datetime) -> Iterator[str]:
        """See the port."""
        return iter(
            [
                row.payment_id
                for row in self.rows.values()
                if row.created_at < iso(before)
                and not (row.source == "batch" and row.version == 1)
                and not (row.status in SETTLED and row.audited_version == row.version)
            ]
        )

    def claim_restart(self, payment: Payment, at: datetime) -> Payment:
        """See the port."""
        current = self.rows[payment.payment_id]
        if (current.version, current.restarts) != (payment.version, payment.restarts):
            raise VersionConflict(f"payment {payment.payment_id} was taken up by another, or moved on")
        self.rows[payment.payment_id] = replace(current, restarts=current.restarts + 1, restarted_at=iso(at))
        return self.rows[payment.payment_id]


class MemoryAuditStore:
    """The audit log in a dict of lists, beside the payments whose rows it marks."""

    def __init__(self, payments: MemoryPaymentStore) -> None:
        self.log: dict[str, list[AuditEntry]] = {}
        self._payments = payments

    def append(self, entries: Sequence[AuditEntry]) -> None:
        """See the port."""
        payment_id, first, last = entries[0].payment_id, entries[0], entries[-1]
        logged = self.log.setdefault(payment_id, [])
        row = self._payments.rows[payment_id]
        expected = (first.sequence - 1, last.sequence)
        if len(logged) >= first.sequence or (row.audited_version, row.version) != expected:
            raise VersionConflict(f"audit entry {first.sequence} of payment {payment_id} exists")
        logged.extend(entries)
        self._payments.rows[payment_id] = replace(row, audited_version=last.sequence, audit_hash=last.hash)

    def entries(self, payment_id: str) -> list[AuditEntry]:
        """See the port."""
        return list(self.log.get(payment_id, []))
