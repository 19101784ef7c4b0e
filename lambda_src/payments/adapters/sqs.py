"""The payment queue on SQS."""

import json
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient
from payments.ports.payment_queue import QueuedPayment, QueueRefused

HANDED_BACK_SECONDS = 120
"""How long a message stays hidden that a paused dispatcher returned. Two recovery runs fit in it: delivery is off by
then. It is less than the six minutes after a failed dispatcher, because the payment waits this long after delivery
resumes."""
LONGEST_DELAY_SECONDS = 900
"""SQS hides a new message for at most 15 minutes."""
_TRIES = 6
_COUNTS: list[Any] = [
    "ApproximateNumberOfMessages",
    "ApproximateNumberOfMessagesNotVisible",
    "ApproximateNumberOfMessagesDelayed",
]


class SqsPaymentQueue:
    """The payment queue as an SQS queue."""

    def __init__(self, client: "SQSClient", queue_url: str, sleep: Callable[[float], None] = time.sleep) -> None:
        self._client = client
        self._queue_url = queue_url
        self._sleep = sleep

    def send(self, payments: Sequence[QueuedPayment]) -> None:
        """Queue up to ten payments in one request, and resend the messages that SQS rejected, with jittered backoff.

        Raises QueueRefused after 6 tries.
        """
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
        raise QueueRefused(f"{len(waiting)} of {len(payments)} messages were rejected: {', '.join(sorted(refusals))}")

    def length(self) -> int:
        """The number of visible, hidden and delayed messages. SQS counts them approximately."""
        counts = self._client.get_queue_attributes(QueueUrl=self._queue_url, AttributeNames=_COUNTS)["Attributes"]
        return sum(int(counts[name]) for name in _COUNTS)

    def hand_back(self, receipt_handle: str, seconds: int) -> None:
        """Return a received message to the queue unprocessed. It becomes visible after these seconds."""
        self._client.change_message_visibility(
            QueueUrl=self._queue_url, ReceiptHandle=receipt_handle, VisibilityTimeout=seconds
        )

    def put_back(self, body: str, seconds: int) -> None:
        """Send a message again. The copy was never received: SQS does not count it towards the dead-letter queue."""
        delay_seconds = min(seconds, LONGEST_DELAY_SECONDS)
        self._client.send_message(QueueUrl=self._queue_url, MessageBody=body, DelaySeconds=delay_seconds)
