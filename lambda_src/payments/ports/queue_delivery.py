"""Delivery of queued messages to the dispatchers, on or off."""

from typing import Protocol


class Delivery(Protocol):
    """The delivery of the queue's messages to the dispatchers."""

    def is_on(self) -> bool:
        """True if messages are delivered, or delivery is starting."""

    def switch(self, *, on: bool) -> None:
        """Switch delivery on or off. It takes some seconds; messages wait in the queue meanwhile."""
