"""The queue between the splitter and the dispatchers: ids of payments to start, ten to a request."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from payments.domain.quick_init import maker, quick_init

MESSAGES_A_REQUEST = 10


@quick_init
@dataclass(frozen=True, slots=True)
class QueuedPayment:
    """A message. It contains ids only: the payments table has what to charge."""

    payment_id: str
    batch_id: str
    line: int


queued_payment = maker(QueuedPayment)
"""Makes the messages of many rows."""


class QueueRefused(Exception):
    """The queue did not accept all messages after several tries. Accepted messages may arrive twice when resent."""


class PaymentQueue(Protocol):
    """The queue where accepted payments wait for their start."""

    def send(self, payments: Sequence[QueuedPayment]) -> None:
        """Queue up to ten payments. Raises QueueRefused."""

    def length(self) -> int:
        """How many messages wait or are being processed. Approximate, and seconds behind."""
