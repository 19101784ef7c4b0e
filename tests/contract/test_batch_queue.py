"""Sending to the queue: all messages arrive, even if SQS accepts only some of a request."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from fakes.payment_queue import MemoryPaymentQueue
from payments.adapters.sqs import SqsPaymentQueue
from payments.ports.payment_queue import MESSAGES_A_REQUEST, PaymentQueue, QueuedPayment, QueueRefused
from tests.moto_tables import aws_in_memory

PAYMENTS = [QueuedPayment(f"p{n}", "b", n) for n in range(2, 12)]


class StubbornSqs:
    """Accepts the first `takes` messages of each request and refuses the others."""

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
    with pytest.raises(QueueRefused, match="4 of 10 messages were rejected: InternalError"):
        queue(StubbornSqs(1)).send(PAYMENTS)


@pytest.fixture(params=["memory", "sqs"])
def real(request: pytest.FixtureRequest) -> Iterator[tuple[PaymentQueue, Callable[[], object]]]:
    """An empty queue, and a function that receives and processes all of its messages."""
    if request.param == "memory":
        memory = MemoryPaymentQueue()
        yield memory, lambda: None
        return
    with aws_in_memory():
        client = boto3.client("sqs")
        url = client.create_queue(QueueName="payments")["QueueUrl"]
        yield SqsPaymentQueue(client, url), lambda: client.receive_message(QueueUrl=url, MaxNumberOfMessages=10)


def test_send_of_more_than_a_request_takes_is_refused(real: tuple[PaymentQueue, Callable[[], object]]) -> None:
    with pytest.raises((ValueError, ClientError)):
        real[0].send([*PAYMENTS, QueuedPayment("p12", "b", 12)])
    assert len(PAYMENTS) == MESSAGES_A_REQUEST
    assert real[0].length() == 0


def test_length_when_nothing_was_sent_is_zero(real: tuple[PaymentQueue, Callable[[], object]]) -> None:
    assert real[0].length() == 0


def test_length_counts_messages_that_wait_or_are_worked_on(
    real: tuple[PaymentQueue, Callable[[], object]],
) -> None:
    messages, receive = real
    messages.send(PAYMENTS)
    assert messages.length() == len(PAYMENTS)
    receive()
    assert messages.length() == len(PAYMENTS)
