"""A payment queue in memory."""

from collections.abc import Sequence

from payments.ports.payment_queue import MESSAGES_A_REQUEST, QueuedPayment


def require_one_request(payments: Sequence[QueuedPayment]) -> None:
    """Raise ValueError where SQS rejects the request: it takes ten messages at most."""
    if len(payments) > MESSAGES_A_REQUEST:
        raise ValueError(f"{len(payments)} messages given; a request takes {MESSAGES_A_REQUEST}")


class MemoryPaymentQueue:
    """Keeps the messages that were sent."""

    def __init__(self) -> None:
        self.messages: list[QueuedPayment] = []

    def send(self, payments: Sequence[QueuedPayment]) -> None:
        """Append the messages to the list. Raises ValueError for more than SQS takes in a request."""
        require_one_request(payments)
        self.messages += payments

    def length(self) -> int:
        """The number of messages in the list."""
        return len(self.messages)
