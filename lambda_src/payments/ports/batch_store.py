"""Storage of batches: the processing-status table."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from payments.domain.batch.errors import CellError, RejectedRow
from payments.domain.batch.report import ReportProgress
from payments.domain.batch.state import Batch, BatchStatus, Look, Progress, ResultRow
from payments.domain.batch.switch import CancelPass, Switch
from payments.domain.payment import Payment
from payments.ports.due_index import DueIndex

OWNER_WHILE_CLOSED = "closed"
"""The owner of a batch whose file arrived in a closed environment. Nothing of it is read yet."""


class NotClaimed(Exception):
    """Another run owns the work on the batch, or the work is already done."""


@dataclass(frozen=True, slots=True)
class Claim:
    """Who works on a batch, and until when. After `until`, another run may take over.

    `owner` is the invocation's request id. Lambda keeps it when it retries a failed invocation: the retry takes over
    at once.
    """

    owner: str
    at: datetime
    until: datetime


class BatchStore(DueIndex, Protocol):
    """The processing-status table. Reads of a batch are strongly consistent.

    A batch without a report is in the index by due time. While a run owns it, it is due when the claim expires.
    """

    def claim_split(self, batch: Batch, claim: Claim) -> Batch:
        """Start or take over the splitting, and return the batch's current state. Raises NotClaimed."""

    def save_progress(
        self, batch_id: str, owner: str, progress: Progress, *, until: datetime | None = None, release: bool = False
    ) -> None:
        """Store how far the splitting has come, and extend the claim to `until`, if given; `release` ends it. Raises
        NotClaimed if the claim is lost."""

    def add_rows(self, batch_id: str, rows: Sequence[RejectedRow | ResultRow]) -> None:
        """Store rows that have a result without a payment of this batch. Safe to repeat."""

    def finish_split(
        self, batch_id: str, owner: str, progress: Progress, at: datetime, file_errors: Sequence[CellError] = ()
    ) -> None:
        """Store that the whole file is read, or why it cannot be read. Raises NotClaimed if the claim is lost."""

    def close_row(self, payment: Payment) -> None:
        """Count a payment of a batch as done. Each payment counts once, however often this is called."""

    def claim_report(self, batch_id: str, claim: Claim) -> Batch:
        """Start or take over the report. Raises NotClaimed."""

    def save_report(self, batch_id: str, owner: str, progress: ReportProgress, *, release: bool = False) -> None:
        """Store how far the report has come. `release` ends the claim. Raises NotClaimed if the claim is lost."""

    def complete(
        self, batch_id: str, owner: str, status: BatchStatus, by_status: Mapping[str, int], at: datetime
    ) -> None:
        """Store that the report is written and its event sent. Raises NotClaimed if the claim is lost."""

    def get(self, batch_id: str) -> Batch | None:
        """The batch's current state, or None."""

    def set_switch(self, batch: Batch, switch: Switch) -> None:
        """Set the switch of a batch that is `splitting` or `processing`, and make the batch due. Setting it to
        `running` also begins the check of its rows anew. Raises NotClaimed if the batch has a report, or if its switch
        is not as read.
        """

    def switch_of(self, batch_id: str) -> Switch:
        """The current switch. That of an unknown batch lets payments start."""

    def link_retry(self, retry_id: str, payment_id: str) -> None:
        """Note which payment a retry's id belongs to, if the id itself does not tell. Safe to repeat."""

    def former_of(self, retry_id: str) -> str:
        """The payment that was noted for a retry's id, or ""."""

    def claim_cancel(self, batch_id: str, claim: Claim) -> Batch:
        """Start or take over a pass that ends the payments of a canceled batch without a report. Raises NotClaimed."""

    def save_cancel(self, batch_id: str, owner: str, progress: CancelPass) -> None:
        """Store how far the pass has come. `until` "" ends the claim. Raises NotClaimed if the claim is lost."""

    def look(self, batch: Batch, look: Look, due: datetime) -> Batch:
        """Note a look at a batch, and set when recovery looks again. Raises NotClaimed for all callers but one: the
        others read the batch before the first one wrote."""

    def rows(self, batch_id: str, after: int = 0) -> Iterator[RejectedRow | ResultRow]:
        """The rows after a line that `add_rows` stored, in the order of lines."""
