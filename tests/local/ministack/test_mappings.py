"""A queue's delivery to a function is paused and resumed as on AWS, and a message that failed comes back."""

import json
import time
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local.ministack import scales
from local.ministack.server import LocalAws
from tests.local.ministack.conftest import VISIBILITY_SCALE, Deploy, new_role, printed
from tests.waiting import eventually

HIDDEN_SECONDS = 10
QUEUE = "arn:aws:sqs:us-east-1:000000000000:"


class Mapped:
    """A queue that a function reads."""

    def __init__(self, aws: LocalAws, function: str, queue: str) -> None:
        self.sqs, self.functions = aws.client("sqs"), aws.client("lambda")
        hidden = {"VisibilityTimeout": str(HIDDEN_SECONDS)}
        self.url = self.sqs.create_queue(QueueName=queue, Attributes=hidden)["QueueUrl"]
        created = self.functions.create_event_source_mapping(
            FunctionName=function, EventSourceArn=QUEUE + queue, BatchSize=1
        )
        self.uuid, self.arn = created["UUID"], created["EventSourceMappingArn"]

    def switch(self, enabled: bool) -> str:
        return str(self.functions.update_event_source_mapping(UUID=self.uuid, Enabled=enabled)["State"])

    def state(self) -> str:
        return str(self.functions.get_event_source_mapping(UUID=self.uuid)["State"])

    def messages(self) -> tuple[int, int]:
        """How many wait, and how many are being worked on."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        counts = self.sqs.get_queue_attributes(QueueUrl=self.url, AttributeNames=names)["Attributes"]
        return int(counts[names[0]]), int(counts[names[1]])


def settles(mapped: Mapped, state: str) -> None:
    eventually(f"the mapping to be {state}", mapped.state, lambda now: now == state)


def test_paused_mapping_leaves_messages_untouched_until_resumed(aws: LocalAws, deploy: Deploy) -> None:
    mapped, other = Mapped(aws, deploy(), "paused"), Mapped(aws, deploy(), "beside-paused")
    assert mapped.switch(enabled=False) == "Disabling"
    settles(mapped, "Disabled")
    mapped.sqs.send_message(QueueUrl=mapped.url, MessageBody="{}")
    for _ in range(2):  # the poller has looked at all queues between the first and the second
        other.sqs.send_message(QueueUrl=other.url, MessageBody="{}")
        eventually("an empty queue beside it", other.messages, lambda messages: messages == (0, 0))
    assert mapped.messages() == (1, 0)
    [message] = mapped.sqs.receive_message(
        QueueUrl=mapped.url, VisibilityTimeout=0, MessageSystemAttributeNames=["ApproximateReceiveCount"]
    )["Messages"]
    assert message["Attributes"]["ApproximateReceiveCount"] == "1"  # ours
    assert mapped.switch(enabled=True) == "Enabling"
    settles(mapped, "Enabled")
    eventually("an empty queue", mapped.messages, lambda messages: messages == (0, 0))


def test_mapping_between_two_states_refuses_another_change(aws: LocalAws, deploy: Deploy) -> None:
    function = deploy()

    def refused(change: Callable[[Mapped], object]) -> Mapped | None:
        """The mapping that refused the change, or None if this test came after the end of the first change."""
        mapped = Mapped(aws, function, f"hasty-{uuid.uuid4().hex[:8]}")
        assert mapped.switch(enabled=False) == "Disabling"
        try:
            change(mapped)
        except mapped.functions.exceptions.ResourceInUseException:
            return mapped
        return None

    eventually(
        "a refused deletion",
        lambda: refused(lambda mapped: mapped.functions.delete_event_source_mapping(UUID=mapped.uuid)),
    )
    mapped = eventually("a refused switch", lambda: refused(lambda mapped: mapped.switch(enabled=True)))
    settles(mapped, "Disabled")
    assert mapped.switch(enabled=True) == "Enabling"


def test_role_that_may_change_one_mapping_may_not_change_another(aws: LocalAws, deploy: Deploy) -> None:
    mapped, other = Mapped(aws, deploy(), "mine"), Mapped(aws, deploy(), "others")
    actions = ["lambda:UpdateEventSourceMapping", "lambda:GetEventSourceMapping", "lambda:DeleteEventSourceMapping"]
    role = new_role(aws, "pauser", actions, mapped.arn)
    session = aws.client("sts").assume_role(RoleArn=role, RoleSessionName="pauser")["Credentials"]
    keys = {"aws_access_key_id": session["AccessKeyId"], "aws_secret_access_key": session["SecretAccessKey"]}
    functions = aws.client("lambda", **keys, aws_session_token=session["SessionToken"])
    calls: list[Callable[..., Any]] = [
        functions.get_event_source_mapping,
        functions.update_event_source_mapping,
        functions.delete_event_source_mapping,
    ]
    for call, action in zip(calls, ["Get", "Update", "Delete"], strict=True):
        call(UUID=mapped.uuid)
        with pytest.raises(ClientError, match=f"not authorized to perform: lambda:{action}EventSourceMapping"):
            call(UUID=other.uuid)


def test_message_returns_after_the_scaled_time_when_its_function_fails(aws: LocalAws, deploy: Deploy) -> None:
    function = deploy()
    mapped = Mapped(aws, function, "failing")
    event = json.dumps({"print": "tried\n", "decline": "lost card"})
    sent_at = time.time()
    mapped.sqs.send_message(QueueUrl=mapped.url, MessageBody=event)
    tried = eventually("two attempts", lambda: printed(aws, function, "tried"), lambda tried: len(tried) >= 2)
    assert tried[1] - sent_at >= HIDDEN_SECONDS * VISIBILITY_SCALE  # the first attempt may print late


def test_visibility_scale_is_exact_for_a_function_and_for_a_change(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scales, "VISIBILITY_SCALE", 0.1)
    now = 1000.0
    monkeypatch.setattr(time, "time", lambda: now)
    [message] = scales._hidden_for_less(lambda *_: [{"visible_at": now + HIDDEN_SECONDS}], "url", 10)
    assert message["visible_at"] == now + 1
    changed = scales._shorter({"VisibilityTimeout": HIDDEN_SECONDS, "ReceiptHandle": "r"}, "VisibilityTimeout")
    assert changed == {"VisibilityTimeout": 1, "ReceiptHandle": "r"}
    assert scales._shorter({"MessageBody": "m"}, "DelaySeconds") == {"MessageBody": "m"}


def test_message_received_by_a_caller_is_hidden_for_the_queues_timeout(aws: LocalAws) -> None:
    """A message in another queue whose scaled time is longer returns before it."""
    sqs, seconds = aws.client("sqs"), 20
    urls = []
    for name, hidden in (("by-hand", seconds), ("scaled", 600)):
        url = sqs.create_queue(QueueName=name, Attributes={"VisibilityTimeout": str(hidden)})["QueueUrl"]
        sqs.send_message(QueueUrl=url, MessageBody="m")
        urls.append(url)
    assert "Messages" in sqs.receive_message(QueueUrl=urls[0])
    hand_back(sqs, urls[1], seconds + 10)
    eventually("the message of the other queue", lambda: sqs.receive_message(QueueUrl=urls[1]).get("Messages"))
    assert "Messages" not in sqs.receive_message(QueueUrl=urls[0])


def hand_back(sqs: Any, url: str, seconds: int) -> None:
    """Receive a message and hide it for so many seconds, before they are scaled."""
    [message] = sqs.receive_message(QueueUrl=url)["Messages"]
    sqs.change_message_visibility(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"], VisibilityTimeout=seconds)


def test_message_handed_back_for_later_returns_after_the_scaled_time(aws: LocalAws) -> None:
    sqs = aws.client("sqs")
    url = sqs.create_queue(QueueName="handed-back", Attributes={"VisibilityTimeout": "600"})["QueueUrl"]
    sqs.send_message(QueueUrl=url, MessageBody="m")
    hand_back(sqs, url, 600)
    assert "Messages" not in sqs.receive_message(QueueUrl=url)
    sqs.send_message(QueueUrl=url, MessageBody="n")
    handed_back = time.monotonic()
    hand_back(sqs, url, int(1 / VISIBILITY_SCALE))
    [message] = eventually("the message", lambda: sqs.receive_message(QueueUrl=url, WaitTimeSeconds=5).get("Messages"))
    assert message["Body"] == "n"  # the other one is hidden for a minute
    assert time.monotonic() - handed_back >= 1
