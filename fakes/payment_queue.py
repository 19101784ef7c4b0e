"""A payment queue in memory."""

from collections.abc import Sequence

from payments.ports.payment_queue import QueuedPayment


class MemoryPaymentQueue:
    """Keeps the messages that were sent."""

    def __init__(self) -> None:
        self.messages: list[QueuedPayment] = []

    def send(self, payments: Sequence[QueuedPayment]) -> None:
        """Append the messages to the list."""
        self.messages += payments

    def is_empty(self) -> bool:
        """True if no message is in the list."""
        return not self.messages
