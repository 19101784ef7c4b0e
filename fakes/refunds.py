"""The in-memory fake of the refunds table. It passes the same contract suite as DynamoDB."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime

from fakes.due_index import MemoryDueIndex
from fakes.payments import MemoryPaymentStore
from payments.domain.clock import iso, parse_iso
from payments.domain.due import Due
from payments.domain.payment import Payment
from payments.domain.recovery_timeouts import RecoveryTimeouts
from payments.domain.refund import Refund
from payments.domain.refund_due import refund_due
from payments.domain.refund_statuses import RefundStatus
from payments.domain.sealed_fields import require_sealed_metadata
from payments.ports.payment_store import VersionConflict
from payments.ports.refund_store import RefundExists, RefundPage


class MemoryRefundStore(MemoryDueIndex):
    """The refunds table in a dict, next to the fake payments table. `written` is called after each transaction."""

    def __init__(
        self,
        payments: MemoryPaymentStore,
        timeouts: RecoveryTimeouts | None = None,
        written: Callable[[Refund, Payment], None] = lambda *_: None,
    ) -> None:
        self.rows: dict[str, Refund] = {}
        self._looks: dict[str, tuple[Refund, Due | None]] = {}
        self._payments = payments
        self._timeouts = timeouts or RecoveryTimeouts()
        self._written = written

    def create(self, refund: Refund, payment: Payment) -> None:
        """Store version 1 and the payment's next version. Raises RefundExists and VersionConflict."""
        require_sealed_metadata(refund.refund_id, refund.metadata)
        if existing := self.rows.get(refund.refund_id):
            raise RefundExists(existing)
        self._payments.book(payment)
        self.rows[refund.refund_id] = refund
        self._written(refund, payment)

    def get(self, refund_id: str) -> Refund | None:
        """The current row, or None."""
        return self.rows.get(refund_id)

    def save(self, refund: Refund, payment: Payment) -> None:
        """Replace the previous versions of both. Raises VersionConflict."""
        require_sealed_metadata(refund.refund_id, refund.metadata)
        current = self.rows.get(refund.refund_id)
        if current is None or current.version != refund.version - 1:
            raise VersionConflict(f"refund {refund.refund_id} is not at version {refund.version - 1}")
        self._payments.book(payment)
        self.rows[refund.refund_id] = replace(
            refund, restarts=current.restarts, restarted_at=current.restarted_at, not_before=current.not_before
        )
        self._written(refund, payment)

    def claim_restart(self, refund: Refund, at: datetime) -> Refund:
        """Count one more restart. Raises VersionConflict if the version or the restarts changed."""
        current = self.rows[refund.refund_id]
        if _state(current) != _state(refund):
            raise VersionConflict(f"refund {refund.refund_id} was restarted by another run, or moved on")
        self.rows[refund.refund_id] = replace(current, restarts=current.restarts + 1, restarted_at=iso(at))
        return self.rows[refund.refund_id]

    def postpone(self, refund_id: str, until: datetime) -> None:
        """Set `not_before`, unless the stored time is later."""
        row = self.rows[refund_id]
        self.rows[refund_id] = replace(row, not_before=max(row.not_before, iso(until)))

    def look_again(self, refund: Refund, due: Due | None) -> None:
        """Set the due time, unless the row changed or was restarted since."""
        if _state(self.rows[refund.refund_id]) == _state(refund):
            self._looks[refund.refund_id] = refund, due

    def keys(self) -> Iterator[tuple[str, Due]]:
        """The due time that the last write of each row set."""
        for refund_id, row in self.rows.items():
            look = self._looks.get(refund_id)
            if look and _state(look[0]) == _state(row):
                due = look[1]
            else:
                written_at = parse_iso(max(row.updated_at, row.restarted_at))
                due = refund_due(replace(row, not_before=""), self._timeouts, written_at)
            if due:
                yield refund_id, due

    def of_payment(self, payment_id: str) -> list[Refund]:
        """The refunds of a payment, oldest first."""
        rows = [row for row in self.rows.values() if row.payment_id == payment_id]
        return sorted(rows, key=lambda row: row.created_at)

    def of_day(self, status: RefundStatus, day: str, limit: int, after: str = "") -> RefundPage:
        """The refunds that came to a status on a day, newest change first."""
        rows = [row for row in self.rows.values() if row.status is status and row.updated_at[:10] == day]
        ordered = sorted(rows, key=lambda row: (row.updated_at, row.refund_id), reverse=True)
        left = [row for row in ordered if not after or _place(row) < after]
        page = left[:limit]
        return RefundPage(page, _place(page[-1]) if len(left) > limit else "")


def _place(row: Refund) -> str:
    return f"{row.updated_at} {row.refund_id}"


def _state(row: Refund) -> tuple[int, int]:
    """What changes with each write that sets a due time."""
    return row.version, row.restarts
