"""A temporary queue that subscribes to both topics and receives what any subscriber receives."""

import json
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Self

from botocore.exceptions import BotoCoreError, ClientError

from payctl.deadline import Deadline
from payctl.stack import Stack

LONG_POLL_SECONDS = 2


@dataclass
class Listener:
    """The messages received so far: payment and batch events as JSON objects, alarms as CloudWatch sends them."""

    client: Any
    queue_url: str
    alarms_topic_arn: str
    events: list[dict[str, Any]] = field(default_factory=list)
    alarms: list[dict[str, Any]] = field(default_factory=list)

    @classmethod
    @contextmanager
    def on(cls, stack: Stack, name: str) -> Iterator[Self]:
        """Listen while the context lasts. At the end the queue and its subscriptions are deleted."""
        sqs, sns = stack.client("sqs"), stack.client("sns")
        url = sqs.create_queue(QueueName=name)["QueueUrl"]
        subscriptions: list[str] = []
        try:
            arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
            topics = [stack["payment_events_topic_arn"], stack["alarms_topic_arn"]]
            sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": _policy(arn, topics)})
            for topic in topics:
                answer = sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn, ReturnSubscriptionArn=True)
                subscriptions.append(answer["SubscriptionArn"])
            yield cls(sqs, url, stack["alarms_topic_arn"])
        finally:
            with suppress(BotoCoreError, ClientError):  # must not hide an earlier error
                for subscription in subscriptions:
                    sns.unsubscribe(SubscriptionArn=subscription)
                sqs.delete_queue(QueueUrl=url)

    def wait(self, missing: Callable[[Self], Collection[str]], waits_for: str, seconds: float) -> str:
        """Receive until nothing is missing, or until no missing message arrives for `seconds`.

        Returns why it gave up, or "".
        """
        deadline = Deadline(seconds, waits_for)
        while names := missing(self):
            if deadline.over(f"{len(names)} missing: {', '.join(sorted(names))}"):
                return deadline.report
            self._receive()
        return ""

    def _receive(self) -> None:
        answer = self.client.receive_message(
            QueueUrl=self.queue_url, MaxNumberOfMessages=10, WaitTimeSeconds=LONG_POLL_SECONDS
        )
        for message in answer.get("Messages", []):
            notification = json.loads(message["Body"])
            received = self.alarms if notification["TopicArn"] == self.alarms_topic_arn else self.events
            received.append(json.loads(notification["Message"]))
            self.client.delete_message(QueueUrl=self.queue_url, ReceiptHandle=message["ReceiptHandle"])


def _policy(queue_arn: str, topic_arns: list[str]) -> str:
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": "sns.amazonaws.com"},
        "Action": "sqs:SendMessage",
        "Resource": queue_arn,
        "Condition": {"ArnEquals": {"aws:SourceArn": topic_arns}},
    }
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})
