"""A payment queue in memory."""

from collections.abc import Sequence

from payments.ports.payment_queue import QueuedPayment


class MemoryPaymentQueue:
    """A twin that keeps what was sent."""

    def __init__(self) -> None:
        self.messages: list[QueuedPayment] = []

    def send(self, payments: Sequence[QueuedPayment]) -> None:
        """See the port."""
        self.messages += payments

    def is_empty(self) -> bool:
        """See the port."""
        return not self.messages
