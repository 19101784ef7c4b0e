"""The switches of batches, as dispatch and recovery ask about them before they start a payment."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from payments.domain.batch.switch import Switch
from payments.domain.clock import Clock
from payments.domain.payment import Payment
from payments.domain.statuses import Status
from payments.ports.batch_store import BatchStore

REMEMBERED_FOR = timedelta(seconds=1)
"""How long a switch counts after it was read. What starts meanwhile is decided by the row's conditional write."""
_MOST_REMEMBERED = 100


@dataclass
class Switches:
    """Reads the switch of a batch at most once in `remembered_for`; with 0, for each payment."""

    batches: BatchStore
    clock: Clock
    remembered_for: timedelta = REMEMBERED_FOR
    _read: dict[str, tuple[datetime, Switch]] = field(default_factory=dict, init=False)

    def of(self, payment: Payment) -> Switch:
        """The switch that decides whether a payment may start. It decides about `pending` payments of a batch only,
        and not about a payment that an operator approved after its row was reported."""
        if not payment.batch_id or payment.status is not Status.PENDING or payment.batch_row_closed:
            return Switch()
        now = self.clock()
        read_at, switch = self._read.get(payment.batch_id, (None, Switch()))
        if read_at is None or now - read_at >= self.remembered_for:
            if len(self._read) >= _MOST_REMEMBERED:
                self._read.clear()
            switch = self.batches.switch_of(payment.batch_id)
            self._read[payment.batch_id] = now, switch
        return switch
