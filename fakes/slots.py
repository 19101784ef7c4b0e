"""In-memory twins of the controls table: the lane's switch and the pace's counter."""

from payments.ports.slot_counter import NoFreeSlot


class MemorySlotStore:
    """The counter in an attribute."""

    def __init__(self) -> None:
        self._next = 0

    def take_slot(self, first: int, last: int) -> int:
        """See the port."""
        mine = max(self._next, first)
        if mine > last:
            raise NoFreeSlot
        self._next = mine + 1
        return mine

    def next_slot(self) -> int:
        """See the port."""
        return self._next
