"""Pause, resume or cancel one batch: the switch on its row."""

from payments.domain.batch.state import UNREPORTED, Batch
from payments.domain.batch.switch import SwitchState
from payments.domain.clock import Clock, iso
from payments.ports.batch_store import BatchStore, NotClaimed

_TRIES = 5


class UnknownBatch(LookupError):
    """There is no such batch."""


class NotSwitched(Exception):
    """The batch is canceled, or has a report already: nothing is left to pause, resume or cancel."""

    def __init__(self, batch: Batch) -> None:
        self.batch = batch
        why = "canceled" if batch.switch.is_canceled else batch.status.value
        super().__init__(f"batch {batch.batch_id} is {why}")


def switch_batch(batch_id: str, state: SwitchState, *, by: str, batches: BatchStore, clock: Clock) -> Batch:
    """Set the batch's switch and return the batch. Dispatch follows within a second. Safe to repeat: the first caller
    stays on record.

    The write has the condition that the batch has no report yet. Raises UnknownBatch, NotSwitched, and NotClaimed
    after several lost races.
    """
    for _ in range(_TRIES):
        batch = batches.get(batch_id)
        if batch is None:
            raise UnknownBatch(f"there is no batch {batch_id}")
        if batch.switch.state is state:
            return batch
        if batch.switch.is_canceled or batch.status not in UNREPORTED:
            raise NotSwitched(batch)
        try:
            batches.set_switch(batch, batch.switch.turned(state, by, iso(clock())))
        except NotClaimed:
            continue
        return batches.get(batch_id) or batch
    raise NotClaimed(f"batch {batch_id} changed {_TRIES} times while it was switched")
