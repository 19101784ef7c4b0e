"""Sends an unprocessable message directly to the dead-letter queue.

Through the payment queue it would need five deliveries of six minutes each: too long for a demonstration.
"""

import json
import time
from contextlib import suppress
from types import TracebackType
from typing import Self

from botocore.exceptions import BotoCoreError, ClientError

from payctl.deadline import Deadline
from payctl.stack import Stack


class DeadLetter:
    """The message is in the queue while the context lasts. At the end only this message is deleted."""

    def __init__(self, stack: Stack, payment_id: str) -> None:
        self._sqs = stack.client("sqs")
        self._cloudwatch = stack.client("cloudwatch")
        self._queue_url = stack["dead_letter_queue_url"]
        self._alarm = f"payment-dead-letters-{stack['environment_suffix']}"
        self._body = json.dumps({"payment_id": payment_id})

    def __enter__(self) -> Self:
        self._sqs.send_message(QueueUrl=self._queue_url, MessageBody=self._body)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(BotoCoreError, ClientError):  # must not hide an earlier error
            self._delete()

    def alarm_fires(self) -> bool:
        """Whether the alarm of the dead-letter queue is already firing: another message would not fire it again."""
        alarms = self._cloudwatch.describe_alarms(AlarmNames=[self._alarm])["MetricAlarms"]
        return any(alarm["StateValue"] == "ALARM" for alarm in alarms)

    def wait_until_cleared(self, seconds: float) -> str:
        """Wait until the alarm clears while the queue becomes shorter. Returns why it gave up, or ""."""
        deadline = Deadline(seconds, f"the alarm {self._alarm} to clear")
        while self.alarm_fires():
            if deadline.over(f"{self._waiting()} messages in the queue"):
                return deadline.report
            time.sleep(1)
        return ""

    def _waiting(self) -> str:
        name = "ApproximateNumberOfMessages"
        answer = self._sqs.get_queue_attributes(QueueUrl=self._queue_url, AttributeNames=[name])
        return str(answer["Attributes"][name])

    def _delete(self) -> None:
        for _ in range(10):
            answer = self._sqs.receive_message(QueueUrl=self._queue_url, MaxNumberOfMessages=10, VisibilityTimeout=5)
            for message in answer.get("Messages", []):
                if message["Body"] == self._body:
                    self._sqs.delete_message(QueueUrl=self._queue_url, ReceiptHandle=message["ReceiptHandle"])
                    return
