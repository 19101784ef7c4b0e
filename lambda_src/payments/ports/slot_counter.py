"""The counter that assigns the slots of the gateway rate limiter."""

from typing import Protocol


class NoFreeSlot(Exception):
    """All slots up to the last requested one are taken."""


class SlotStore(Protocol):
    """The counter of taken slots."""

    def take_slot(self, first: int, last: int, count: int = 1) -> int:
        """Take the first free slot from `first` to `last`, and those after it, `count` in all. Returns the first.

        Each slot is given once. Raises NoFreeSlot.
        """

    def next_slot(self) -> int:
        """The slot after the last one taken; 0 if there is none. Eventually consistent."""
