"""Close the rows of a batch: count each payment that has an outcome, and start the report after the last one."""

from collections.abc import Callable

from payments.domain.payment import Payment
from payments.domain.statuses import OPEN
from payments.ports.batch_store import BatchStore


class BatchRows:
    """`start_report` receives the batch id once all rows are closed. It may run twice: only one run gets the report."""

    def __init__(self, batches: BatchStore, start_report: Callable[[str], None]) -> None:
        self._batches = batches
        self._start_report = start_report

    def close(self, payment: Payment) -> None:
        """Count the payment's row as done, if it has a row and an outcome. Safe to repeat. A repetition also starts a
        report that an earlier call counted but failed to start.
        """
        if not payment.batch_id or payment.status in OPEN:
            return
        if not payment.batch_row_closed:
            self._batches.close_row(payment)
        self.report_if_done(payment.batch_id)

    def report_if_done(self, batch_id: str) -> None:
        """Start the report if the file is read and every payment of it has an outcome.

        The splitter calls this after its last write, and each closing after its count, both with strongly consistent
        reads. The last caller therefore sees that all rows are done.
        """
        batch = self._batches.get(batch_id)
        if batch and batch.ready_to_report:
            self._start_report(batch_id)
