"""The port to the processing-status table. Adapters: `batch_dynamodb.py` and `batch_memory.py`, its twin."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from payments.domain.batch.errors import CellError, RejectedRow
from payments.domain.batch.state import Batch, BatchStatus, Progress, ResultRow
from payments.domain.payment import Payment


class NotClaimed(Exception):
    """The work on a batch is another's, or done already."""


@dataclass(frozen=True, slots=True)
class Claim:
    """Who works on a batch, and when it must have stopped: another may take over after `until`.

    `owner` is the invocation's request id, which Lambda keeps when it repeats an invocation that died: the
    repetition takes over at once.
    """

    owner: str
    at: datetime
    until: datetime


class BatchStore(Protocol):
    """The processing-status table. Reads of a batch are strongly consistent."""

    def claim_split(self, batch: Batch, claim: Claim) -> Batch:
        """Begin or take over the splitting; gives the batch as it stands. Raises NotClaimed."""

    def save_progress(self, batch_id: str, owner: str, progress: Progress, *, release: bool = False) -> None:
        """Say how far the splitting has come; `release` lets anyone take over. Raises NotClaimed if it is lost."""

    def add_rows(self, batch_id: str, rows: Sequence[RejectedRow | ResultRow]) -> None:
        """Keep rows that have their result without a payment of this batch. Twice is the same as once."""

    def finish_split(
        self, batch_id: str, owner: str, progress: Progress, at: datetime, file_errors: Sequence[CellError] = ()
    ) -> None:
        """Say that the whole file is read, or why it cannot be. Raises NotClaimed if the claim is lost."""

    def close_row(self, payment: Payment) -> None:
        """Count a payment of a batch that has an outcome: once, however often this is called."""

    def claim_report(self, batch_id: str, claim: Claim) -> Batch:
        """Begin or take over the report. Raises NotClaimed."""

    def complete(
        self, batch_id: str, owner: str, status: BatchStatus, by_status: Mapping[str, int], at: datetime
    ) -> None:
        """Say that the report is written and told. Raises NotClaimed if the claim is lost."""

    def get(self, batch_id: str) -> Batch | None:
        """The batch as it stands."""

    def unfinished(self) -> Iterator[str]:
        """The ids of batches without their report, oldest first. Eventually consistent."""

    def claim_repair(self, batch: Batch, at: datetime) -> None:
        """Take on looking through the rows of a batch that is processing. Raises NotClaimed for all but one."""

    def rows(self, batch_id: str) -> Iterator[RejectedRow | ResultRow]:
        """What `add_rows` kept, in the order of lines."""
