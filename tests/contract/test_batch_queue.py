"""Sending to the queue: all messages arrive, though SQS may take only some of a request."""

import json
from typing import Any

import pytest

from payments.batch.queue import QueuedPayment, QueueRefused, SqsPaymentQueue

PAYMENTS = [QueuedPayment(f"p{n}", "b", n) for n in range(2, 12)]


class StubbornSqs:
    """Takes the first `takes` messages of each request and refuses the others."""

    def __init__(self, takes: int) -> None:
        self.takes = takes
        self.bodies: list[dict[str, Any]] = []

    def send_message_batch(self, *, QueueUrl: str, Entries: list[dict[str, str]]) -> dict[str, Any]:  # noqa: N803
        taken, refused = Entries[: self.takes], Entries[self.takes :]
        self.bodies += [json.loads(entry["MessageBody"]) for entry in taken]
        return {
            "Successful": [{"Id": entry["Id"]} for entry in taken],
            "Failed": [{"Id": entry["Id"], "Code": "InternalError", "SenderFault": False} for entry in refused],
        }


def queue(client: Any) -> SqsPaymentQueue:
    return SqsPaymentQueue(client, "url", sleep=lambda seconds: None)


@pytest.mark.parametrize("takes", [10, 3])
def test_send_when_sqs_takes_some_at_a_time_then_each_message_is_sent_once(takes: int) -> None:
    sqs = StubbornSqs(takes)
    queue(sqs).send(PAYMENTS)
    assert sqs.bodies == [{"payment_id": f"p{n}", "batch_id": "b", "line": n} for n in range(2, 12)]


def test_send_when_sqs_keeps_refusing_then_it_says_so() -> None:
    with pytest.raises(QueueRefused, match="4 of 10 messages were refused: InternalError"):
        queue(StubbornSqs(1)).send(PAYMENTS)
