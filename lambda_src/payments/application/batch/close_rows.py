"""Closing the rows of a batch: count each payment that has an outcome, and have the report made after the last."""

from collections.abc import Callable

from payments.domain.payment import Payment
from payments.domain.statuses import OPEN
from payments.ports.batch_store import BatchStore


class BatchRows:
    """`start_report` is given the batch id once all is closed; it may be called twice, the report is claimed."""

    def __init__(self, batches: BatchStore, start_report: Callable[[str], None]) -> None:
        self._batches = batches
        self._start_report = start_report

    def close(self, payment: Payment) -> None:
        """Count the payment's row as done, if it has one and an outcome. Safe to repeat, and worth repeating:
        a repetition makes up for one that died between counting and starting the report.
        """
        if not payment.batch_id or payment.status in OPEN:
            return
        if not payment.batch_row_closed:
            self._batches.close_row(payment)
        self.report_if_done(payment.batch_id)

    def report_if_done(self, batch_id: str) -> None:
        """Start the report if the file is read and every payment of it has an outcome.

        The splitter asks after its last write and each closing after its count, on strongly consistent reads:
        whoever comes last sees that all is done.
        """
        batch = self._batches.get(batch_id)
        if batch and batch.ready_to_report:
            self._start_report(batch_id)
