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
"""How long a message stays hidden that is handed back unworked: two sweeps, so that the delivery is off by then, and
less than the six minutes that a dispatcher's death hides it for, as the payment waits for this after the resume."""
_TRIES = 6
_COUNTS: list[Any] = [
    "ApproximateNumberOfMessages",
    "ApproximateNumberOfMessagesNotVisible",
    "ApproximateNumberOfMessagesDelayed",
]


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
