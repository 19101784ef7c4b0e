"""End the payments of a canceled batch that were not sent, in runs that continue where the last one stopped."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from itertools import batched

from payments.domain.batch.state import UNREPORTED, BatchStatus
from payments.domain.cancellation import CancelCode, canceled, is_canceled
from payments.domain.clock import Clock, iso
from payments.domain.events import payment_event
from payments.domain.payment import Payment
from payments.domain.statuses import Status
from payments.ports.batch_store import BatchStore, Claim, NotClaimed
from payments.ports.payment_store import PaymentStore, VersionConflict, require

ROWS_A_WINDOW = 100
"""Rows that are ended at the same time, with one checkpoint."""
WORKERS = 16
RESERVE_SECONDS = 30
"""The remaining time at which a run ends no further rows."""
_TRIES = 5


@dataclass(frozen=True)
class BatchCanceler:
    """`publish` sends a payment's event to its subscribers. `finish` has the audit function, the only writer of the
    audit log, audit the payment and close its row. It raises VersionConflict if the row changed meanwhile.

    It does for each row what an execution of the workflow would do: a million executions would cost $200.
    """

    payments: PaymentStore
    batches: BatchStore
    finish: Callable[[Payment], None]
    publish: Callable[[dict[str, str]], None]
    clock: Clock

    def cancel(self, batch_id: str, *, owner: str, seconds_left: Callable[[], float]) -> int | None:
        """End the `pending` payments of the batch, after the last checkpoint, until all rows are passed or time runs
        short. Returns how many it ended.

        None if the batch is not canceled, has a report, or another run has this work. A payment that is being sent is
        left alone: the conditional write decides. While the file is read, the pass does not count as complete.
        """
        batch = self.batches.get(batch_id)
        if batch is None or not batch.switch.is_canceled or batch.status not in UNREPORTED:
            return None
        now = self.clock()
        try:
            batch = self.batches.claim_cancel(batch_id, Claim(owner, now, now + timedelta(seconds=seconds_left())))
        except NotClaimed:
            return None
        progress, ended = batch.cancel_pass, 0
        with ThreadPoolExecutor(WORKERS) as pool:
            for window in batched(self.payments.of_batch(batch_id, after=progress.line), ROWS_A_WINDOW):
                ended += sum(pool.map(partial(self._end, batch.switch.by), window))
                progress = replace(progress, line=window[-1].batch_line)
                if seconds_left() < RESERVE_SECONDS:
                    self.batches.save_cancel(batch_id, owner, replace(progress, until=""))
                    return ended
                self.batches.save_cancel(batch_id, owner, progress)
        passed_at = iso(self.clock()) if batch.status is BatchStatus.PROCESSING else ""
        self.batches.save_cancel(batch_id, owner, replace(progress, line=0, passed_at=passed_at, until=""))
        return ended

    def _end(self, by: str, listed: Payment) -> bool:
        """End a payment if it is `pending`, or complete what an earlier run began. True if this call ended it.

        The event is published before the audit: until the audit, recovery restarts the payment, and the event is never
        lost. The row is closed last, so that the next run finds what this one did not complete.
        """
        if listed.batch_row_closed:
            return False
        payment, ended = listed, False
        for _ in range(_TRIES):
            try:
                if payment.status is Status.PENDING:
                    row = canceled(payment, CancelCode.BATCH, by=by, at=self.clock())
                    self.payments.save(row)
                    payment, ended = row, True
                if is_canceled(payment) and not payment.batch_row_closed:
                    self.publish(payment_event(payment))
                    self.finish(payment)
            except VersionConflict:  # the index is behind the table, or the payment is being sent
                payment = require(self.payments, payment.payment_id)
                continue
            break
        return ended
