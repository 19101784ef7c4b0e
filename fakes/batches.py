"""The in-memory fake of the processing-status table."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from threading import Lock

from fakes.due_index import MemoryDueIndex
from fakes.payments import MemoryPaymentStore
from payments.domain.batch.errors import CellError, RejectedRow
from payments.domain.batch.report import ReportProgress
from payments.domain.batch.state import UNREPORTED, Batch, BatchStatus, Look, Progress, ResultRow
from payments.domain.batch.switch import CancelPass, Switch
from payments.domain.clock import iso
from payments.domain.due import AT_ONCE, Due, Kind
from payments.domain.payment import Payment
from payments.ports.batch_store import Claim, NotClaimed


@dataclass
class _Entry:
    batch: Batch
    owner: str = ""
    until: str = ""
    canceler: str = ""
    rows: dict[int, RejectedRow | ResultRow] = field(default_factory=dict)


class MemoryBatchStore(MemoryDueIndex):
    """The processing-status table in a dict, next to the fake payments table."""

    def __init__(self, payments: MemoryPaymentStore) -> None:
        self._payments = payments
        self._entries: dict[str, _Entry] = {}
        self._formers: dict[str, str] = {}
        self._transaction = Lock()

    def claim_split(self, batch: Batch, claim: Claim) -> Batch:
        """Create the batch or take over its split, and return it. Raises NotClaimed."""
        if batch.batch_id not in self._entries:
            self._entries[batch.batch_id] = _Entry(batch)
        return self._claim(batch.batch_id, None, BatchStatus.SPLITTING, claim)

    def save_progress(
        self, batch_id: str, owner: str, progress: Progress, *, until: datetime | None = None, release: bool = False
    ) -> None:
        """Store the progress; extend or end the claim. Raises NotClaimed if the claim is lost."""
        entry = self._owned(batch_id, owner, BatchStatus.SPLITTING)
        entry.batch = replace(entry.batch, progress=progress)
        if until:
            entry.until = iso(until)
            entry.batch = replace(entry.batch, due_at=iso(until))
        if release:
            entry.until = ""
            entry.batch = replace(entry.batch, due_at=AT_ONCE)

    def add_rows(self, batch_id: str, rows: Sequence[RejectedRow | ResultRow]) -> None:
        """Store rows that have a result without a payment of this batch. Safe to repeat."""
        self._entries[batch_id].rows |= {row.line: row for row in rows}

    def finish_split(
        self, batch_id: str, owner: str, progress: Progress, at: datetime, file_errors: Sequence[CellError] = ()
    ) -> None:
        """Store that the whole file is read, or its errors. Raises NotClaimed if the claim is lost."""
        entry = self._owned(batch_id, owner, BatchStatus.SPLITTING)
        entry.batch = replace(
            entry.batch,
            status=BatchStatus.PROCESSING,
            progress=progress,
            file_errors=tuple(file_errors),
            updated_at=iso(at),
            due_at=iso(at),
        )

    def close_row(self, payment: Payment) -> None:
        """Set the payment's mark and count its row. No effect if the mark is already set."""
        with self._transaction:
            row = self._payments.rows[payment.payment_id]
            if not row.batch_row_closed:
                self._payments.rows[payment.payment_id] = replace(row, batch_row_closed=True)
                entry = self._entries[payment.batch_id]
                entry.batch = replace(entry.batch, rows_closed=entry.batch.rows_closed + 1)

    def claim_report(self, batch_id: str, claim: Claim) -> Batch:
        """Start or take over the report, and return the batch. Raises NotClaimed."""
        return self._claim(batch_id, BatchStatus.PROCESSING, BatchStatus.REPORTING, claim)

    def save_report(self, batch_id: str, owner: str, progress: ReportProgress, *, release: bool = False) -> None:
        """Store how far the report has come; `release` ends the claim. Raises NotClaimed if the claim is lost."""
        entry = self._owned(batch_id, owner, BatchStatus.REPORTING)
        entry.batch = replace(entry.batch, report=progress)
        if release:
            entry.until = ""
            entry.batch = replace(entry.batch, due_at=AT_ONCE)

    def complete(
        self, batch_id: str, owner: str, status: BatchStatus, by_status: Mapping[str, int], at: datetime
    ) -> None:
        """Store the status and the result counts. Raises NotClaimed if the claim is lost."""
        entry = self._owned(batch_id, owner, BatchStatus.REPORTING)
        entry.batch = replace(entry.batch, status=status, by_status=dict(by_status), updated_at=iso(at))

    def get(self, batch_id: str) -> Batch | None:
        """The batch's current state, or None."""
        entry = self._entries.get(batch_id)
        return _seen(entry) if entry else None

    def unfinished(self) -> Iterator[str]:
        """The ids of batches without a report, oldest first."""
        done = (BatchStatus.COMPLETED, BatchStatus.REJECTED, BatchStatus.CANCELED)
        batches = [entry.batch for entry in self._entries.values() if entry.batch.status not in done]
        return iter([batch.batch_id for batch in sorted(batches, key=lambda batch: batch.created_at)])

    def keys(self) -> Iterator[tuple[str, Due]]:
        """The due time of each batch without a report."""
        for batch_id in self.unfinished():
            yield batch_id, Due(Kind.BATCH, self._entries[batch_id].batch.due_at)

    def set_switch(self, batch: Batch, switch: Switch) -> None:
        """Set the switch and the due time. Raises NotClaimed if there is a report or the switch is not as read."""
        entry = self._entries[batch.batch_id]
        if entry.batch.status not in UNREPORTED or entry.batch.switch.state is not batch.switch.state:
            raise NotClaimed(f"batch {batch.batch_id} is {entry.batch.status} and {entry.batch.switch.state}")
        look = entry.batch.look if switch.holds else replace(entry.batch.look, checked_line=0)
        entry.batch = replace(entry.batch, switch=switch, due_at=switch.at, look=look)

    def switch_of(self, batch_id: str) -> Switch:
        """The current switch. That of an unknown batch lets payments start."""
        entry = self._entries.get(batch_id)
        return entry.batch.switch if entry else Switch()

    def link_retry(self, retry_id: str, payment_id: str) -> None:
        """Note which payment a retry's id belongs to. Safe to repeat."""
        self._formers[retry_id] = payment_id

    def former_of(self, retry_id: str) -> str:
        """The payment that was noted for a retry's id, or ""."""
        return self._formers.get(retry_id, "")

    def claim_cancel(self, batch_id: str, claim: Claim) -> Batch:
        """Start or take over a pass of a canceled batch, and return it. Raises NotClaimed."""
        entry = self._entries[batch_id]
        free = entry.canceler == claim.owner or entry.batch.cancel_pass.until < iso(claim.at)
        if entry.batch.status not in UNREPORTED or not entry.batch.switch.is_canceled or not free:
            raise NotClaimed(f"batch {batch_id} is {entry.batch.status} and {entry.batch.switch.state}")
        entry.canceler = claim.owner
        entry.batch = replace(entry.batch, cancel_pass=replace(entry.batch.cancel_pass, until=iso(claim.until)))
        return _seen(entry)

    def save_cancel(self, batch_id: str, owner: str, progress: CancelPass) -> None:
        """Store how far the pass has come. Raises NotClaimed if the claim is lost."""
        entry = self._entries[batch_id]
        if entry.canceler != owner:
            raise NotClaimed(f"batch {batch_id} is canceled by {entry.canceler}")
        entry.batch = replace(entry.batch, cancel_pass=progress)

    def look(self, batch: Batch, look: Look, due: datetime) -> Batch:
        """Note a look at a batch. Raises NotClaimed for all callers but one."""
        entry = self._entries[batch.batch_id]
        if (entry.batch.status, entry.batch.due_at) != (batch.status, batch.due_at):
            raise NotClaimed(f"batch {batch.batch_id} was looked at by another run, or moved on")
        entry.batch = replace(entry.batch, look=look, due_at=iso(due))
        return _seen(entry)

    def rows(self, batch_id: str, after: int = 0) -> Iterator[RejectedRow | ResultRow]:
        """The rows after a line that `add_rows` stored, in the order of lines."""
        rows = self._entries[batch_id].rows
        return iter([rows[line] for line in sorted(rows) if line > after])

    def _claim(self, batch_id: str, ready: BatchStatus | None, working: BatchStatus, claim: Claim) -> Batch:
        entry = self._entries[batch_id]
        free = entry.owner == claim.owner or entry.until < iso(claim.at)
        if entry.batch.status is not ready and not (entry.batch.status is working and free):
            raise NotClaimed(f"batch {batch_id} is {entry.batch.status}")
        entry.batch = replace(entry.batch, status=working, updated_at=iso(claim.at), due_at=iso(claim.until))
        entry.owner, entry.until = claim.owner, iso(claim.until)
        return _seen(entry)

    def _owned(self, batch_id: str, owner: str, status: BatchStatus) -> _Entry:
        entry = self._entries[batch_id]
        if entry.owner != owner or entry.batch.status is not status:
            raise NotClaimed(f"batch {batch_id} is {entry.batch.status}, owned by {entry.owner}")
        return entry


def _seen(entry: _Entry) -> Batch:
    return replace(entry.batch, owner_until=entry.until)
