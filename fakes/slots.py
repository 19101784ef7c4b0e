"""The in-memory fake of the gateway rate limiter's counter."""

from payments.ports.slot_counter import NoFreeSlot


class MemorySlotStore:
    """The counter in an attribute."""

    def __init__(self) -> None:
        self._next = 0

    def take_slot(self, first: int, last: int, count: int = 1) -> int:
        """Take `count` slots, of which the first is from `first` to `last`. Raises NoFreeSlot."""
        mine = max(self._next, first)
        if mine > last:
            raise NoFreeSlot
        self._next = mine + count
        return mine

    def next_slot(self) -> int:
        """The slot after the last one taken; 0 if there is none."""
        return self._next
