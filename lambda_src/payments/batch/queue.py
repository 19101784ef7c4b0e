"""The queue between the batch lane and the workflow: ids of payments to start, ten to a request."""

import json
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

MESSAGES_A_REQUEST = 10
HANDED_BACK_SECONDS = 120
"""How long a message stays hidden that is handed back unworked: two sweeps, so that the delivery is off by then, and
less than the six minutes that a dispatcher's death hides it for, as the payment waits for this after the resume."""
_TRIES = 6
_COUNTS: list[Any] = [
    "ApproximateNumberOfMessages",
    "ApproximateNumberOfMessagesNotVisible",
    "ApproximateNumberOfMessagesDelayed",
]


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


class SqsPaymentQueue:
    """The SQS queue."""

    def __init__(self, client: "SQSClient", queue_url: str, sleep: Callable[[float], None] = time.sleep) -> None:
        self._client = client
        self._queue_url = queue_url
        self._sleep = sleep

    def send(self, payments: Sequence[QueuedPayment]) -> None:
        """See the port. SQS may take some messages of a request and refuse others; those are sent again."""
        waiting: dict[str, Any] = {
            str(place): {"Id": str(place), "MessageBody": json.dumps(asdict(payment))}
            for place, payment in enumerate(payments)
        }
        for attempt in range(_TRIES):
            answer = self._client.send_message_batch(QueueUrl=self._queue_url, Entries=list(waiting.values()))
            for sent in answer.get("Successful", []):
                del waiting[sent["Id"]]
            if not waiting:
                return
            self._sleep(random.uniform(0, 0.1 * 2**attempt))  # noqa: S311
        refusals = {failure.get("Code", "") for failure in answer.get("Failed", [])}
        raise QueueRefused(f"{len(waiting)} of {len(payments)} messages were refused: {', '.join(sorted(refusals))}")

    def is_empty(self) -> bool:
        """See the port."""
        counts = self._client.get_queue_attributes(QueueUrl=self._queue_url, AttributeNames=_COUNTS)["Attributes"]
        return not any(int(counts[name]) for name in _COUNTS)

    def hand_back(self, receipt_handle: str) -> None:
        """Have a message come back that this function received and is not to work on now."""
        self._client.change_message_visibility(
            QueueUrl=self._queue_url, ReceiptHandle=receipt_handle, VisibilityTimeout=HANDED_BACK_SECONDS
        )


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
