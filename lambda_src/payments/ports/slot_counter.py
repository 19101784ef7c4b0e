"""The counter that hands out the gateway's slots."""

from typing import Protocol


class NoFreeSlot(Exception):
    """All slots up to the last one asked for are taken."""


class SlotStore(Protocol):
    """The counter. Adapters: `stores/controls_dynamodb.py` and `stores/controls_memory.py`."""

    def take_slot(self, first: int, last: int) -> int:
        """Take the first free slot from `first` to `last`, each only once. Raises NoFreeSlot."""

    def next_slot(self) -> int:
        """The slot after the last one that was taken; 0 before any. Eventually consistent."""
