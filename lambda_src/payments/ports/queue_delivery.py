"""Delivery of queued messages to the dispatchers: on or off."""

from typing import Protocol


class Delivery(Protocol):
    """The delivery of the queue's messages to the dispatchers."""

    def is_on(self) -> bool:
        """Whether messages are delivered, or about to be."""

    def switch(self, *, on: bool) -> None:
        """Turn it on or off. Takes some seconds; messages wait in the queue meanwhile."""
