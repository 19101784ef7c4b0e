"""A message that nothing can process, put straight into the dead-letter queue: after five vain deliveries of six
minutes each it would come there by itself, and nobody watches a demonstration for half an hour."""

import json
import time
from contextlib import suppress
from types import TracebackType
from typing import Self

from botocore.exceptions import BotoCoreError, ClientError

from payctl.deadline import Deadline
from payctl.stack import Stack


class DeadLetter:
    """In the queue for as long as the context lasts; taken out again after it, and no other message with it."""

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
        with suppress(BotoCoreError, ClientError):  # what went wrong before is worth more than this
            self._take_out()

    def alarm_rings(self) -> bool:
        """Whether the alarm of the dead-letter queue is on: then another message would not set it off."""
        alarms = self._cloudwatch.describe_alarms(AlarmNames=[self._alarm])["MetricAlarms"]
        return any(alarm["StateValue"] == "ALARM" for alarm in alarms)

    def wait_until_quiet(self, seconds: float) -> None:
        """Wait until the alarm is over, or the time is."""
        deadline = Deadline(seconds)
        while self.alarm_rings() and not deadline.over(None):
            time.sleep(1)

    def _take_out(self) -> None:
        for _ in range(10):
            answer = self._sqs.receive_message(QueueUrl=self._queue_url, MaxNumberOfMessages=10, VisibilityTimeout=5)
            for message in answer.get("Messages", []):
                if message["Body"] == self._body:
                    self._sqs.delete_message(QueueUrl=self._queue_url, ReceiptHandle=message["ReceiptHandle"])
                    return
