"""The queue between the batch lane and the workflow: ids of payments to start, ten to a request."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

MESSAGES_A_REQUEST = 10


@dataclass(frozen=True, slots=True)
class QueuedPayment:
    """A message. It carries ids only: what is to be charged stands in the payments table."""

    payment_id: str
    batch_id: str
    line: int


class QueueRefused(Exception):
    """The queue did not take all messages after some tries. Those it took may come twice when they are resent."""


class PaymentQueue(Protocol):
    """Where accepted payments wait for their paced start."""

    def send(self, payments: Sequence[QueuedPayment]) -> None:
        """Queue up to ten payments. Raises QueueRefused."""

    def is_empty(self) -> bool:
        """Whether no message waits or is being worked on, as far as the queue knows: its counts lag by seconds."""
