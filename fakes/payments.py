"""The in-memory fake of the payments table. It passes the same contract suite as DynamoDB."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime

from fakes.due_index import MemoryDueIndex
from payments.domain.clock import iso, parse_iso
from payments.domain.due import Due
from payments.domain.payment import Payment
from payments.domain.recovery_timeouts import RecoveryTimeouts
from payments.domain.sealed_fields import new_plain_texts, require_sealed_reference, rewritten
from payments.ports.field_encryptor import FieldEncryptor
from payments.ports.payment_store import AlreadyExists, VersionConflict


class MemoryPaymentStore(MemoryDueIndex):
    """The payments table in a dict. With an encryptor it encrypts private fields as the real store does."""

    def __init__(self, encryptor: FieldEncryptor | None = None, timeouts: RecoveryTimeouts | None = None) -> None:
        self.rows: dict[str, Payment] = {}
        self.looks: dict[str, tuple[Payment, Due | None]] = {}
        """The due times that `look_again` set, each with the row that it is for."""
        self._encryptor = encryptor
        self._timeouts = timeouts or RecoveryTimeouts()
        self._known: dict[str, tuple[Payment, Due | None]] = {}

    def create(self, payment: Payment) -> None:
        """Store version 1. Raises AlreadyExists with the existing row."""
        if self._encryptor:
            payment = rewritten(payment, self._encryptor.seal)
        existing = self.rows.setdefault(payment.payment_id, payment)
        if existing is not payment:
            raise AlreadyExists(existing)

    def get(self, payment_id: str) -> Payment | None:
        """The current row, or None."""
        return self.rows.get(payment_id)

    def save(self, payment: Payment) -> None:
        """Replace the previous version, but not the marks of others. Raises VersionConflict."""
        current = self.rows.get(payment.payment_id)
        plain_text = self._encryptor and current and new_plain_texts(payment, current)
        if current is None or current.version != payment.version - 1 or plain_text:
            raise VersionConflict(f"payment {payment.payment_id} is not at version {payment.version - 1}")
        self.rows[payment.payment_id] = replace(
            payment,
            audited_version=current.audited_version,
            audit_hash=current.audit_hash,
            batch_row_closed=current.batch_row_closed,
            restarts=current.restarts,
            restarted_at=current.restarted_at,
            not_before=current.not_before,
            absent_version=current.absent_version,
            retried_as=current.retried_as,
            client_ip=current.client_ip,
            card_counters=current.card_counters,
            reserved_minor_units=current.reserved_minor_units,
            disputed_minor_units=current.disputed_minor_units,
            gateway_reference=payment.gateway_reference or current.gateway_reference,
            reference_digest=payment.reference_digest or current.reference_digest,
        )

    def book(self, payment: Payment) -> None:
        """Replace what changes together with a refund, for the fake of the refunds table. Raises VersionConflict."""
        current = self.rows.get(payment.payment_id)
        if current is None or current.version != payment.version - 1:
            raise VersionConflict(f"payment {payment.payment_id} is not at version {payment.version - 1}")
        self.rows[payment.payment_id] = replace(
            current,
            status=payment.status,
            version=payment.version,
            updated_at=payment.updated_at,
            history=payment.history,
            refunded_minor_units=payment.refunded_minor_units,
            reserved_minor_units=payment.reserved_minor_units,
            disputed_minor_units=payment.disputed_minor_units,
        )

    def postpone(self, payment_id: str, until: datetime) -> None:
        """Set `not_before`, unless the stored time is later."""
        row = self.rows[payment_id]
        self.rows[payment_id] = replace(row, not_before=max(row.not_before, iso(until)))

    def keep_reference(self, payment_id: str, reference: str, digest: str) -> None:
        """Set the reference and its digest, unless the row has a reference. Raises NotSealed."""
        require_sealed_reference(payment_id, reference)
        row = self.rows[payment_id]
        if not row.gateway_reference:
            self.rows[payment_id] = replace(row, gateway_reference=reference, reference_digest=digest)

    def prove_absent(self, payment: Payment) -> None:
        """Set `absent_version`, unless the row changed or has a reference."""
        row = self.rows[payment.payment_id]
        if row.version == payment.version and not row.gateway_reference:
            self.rows[payment.payment_id] = replace(row, absent_version=row.version)

    def mark_retried(self, payment: Payment, retry_id: str) -> None:
        """Set `retried_as`. Raises VersionConflict if the row changed, or names another retry."""
        row = self.rows[payment.payment_id]
        if (row.version, row.status) != (payment.version, payment.status) or row.retried_as not in ("", retry_id):
            raise VersionConflict(f"payment {payment.payment_id} changed, or was sent again as another one")
        self.rows[payment.payment_id] = replace(row, retried_as=retry_id)

    def forget_buyer(self, payment_id: str) -> None:
        """Remove the buyer's address, and where the card was counted."""
        self.rows[payment_id] = replace(self.rows[payment_id], client_ip="", card_counters="")

    def of_batch(self, batch_id: str, after: int = 0) -> Iterator[Payment]:
        """The payments of a batch after a line, in the order of lines."""
        rows = [row for row in self.rows.values() if row.batch_id == batch_id and row.batch_line > after]
        return iter(sorted(rows, key=lambda row: row.batch_line))

    def look_again(self, payment: Payment, due: Due | None) -> None:
        """Set the due time, unless the row changed or was restarted since."""
        if _state(self.rows[payment.payment_id]) == _state(payment):
            self.looks[payment.payment_id] = payment, due

    def keys(self) -> Iterator[tuple[str, Due]]:
        """The due time that the last write of each row set."""
        for payment_id, row in self.rows.items():
            due = self._due(payment_id, row)
            if due:
                yield payment_id, due

    def _due(self, payment_id: str, row: Payment) -> Due | None:
        look = self.looks.get(payment_id)
        if look and _state(look[0]) == _state(row):
            return look[1]
        known = self._known.get(payment_id)
        if known is None or known[0] is not row:
            written_at = parse_iso(max(row.updated_at, row.restarted_at))
            # `postpone` sets no due time: recovery finds the row early, and looks again
            known = self._known[payment_id] = row, self._timeouts.due(replace(row, not_before=""), written_at)
        return known[1]

    def claim_restart(self, payment: Payment, at: datetime) -> Payment:
        """Count one more restart. Raises VersionConflict if the version or the restarts changed."""
        current = self.rows[payment.payment_id]
        if (current.version, current.restarts) != (payment.version, payment.restarts):
            raise VersionConflict(f"payment {payment.payment_id} was restarted by another run, or moved on")
        self.rows[payment.payment_id] = replace(current, restarts=current.restarts + 1, restarted_at=iso(at))
        return self.rows[payment.payment_id]


def _state(row: Payment) -> tuple[int, int, int]:
    """What changes with each write that sets a due time."""
    return row.version, row.restarts, row.audited_version
