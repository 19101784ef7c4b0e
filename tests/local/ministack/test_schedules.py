"""A schedule calls its function on time, under its role; a rule does under the function's policy."""

import json
import time
import uuid
from collections import Counter
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local.ministack import scales
from local.ministack.server import LocalAws
from tests.local.ministack.conftest import SCHEDULE_SCALE, Deploy, change_role, function_arn, log, new_role, printed
from tests.waiting import eventually

MINUTE = 60 * SCHEDULE_SCALE
SOURCE = "arn:aws:scheduler:us-east-1:000000000000:schedule-group/default"


def new_schedule(aws: LocalAws, name: str, function: str, role: str, **event: Any) -> None:
    """Call a function every minute."""
    called_with = json.dumps({"print": "swept", **event})
    target = {"Arn": function_arn(function), "RoleArn": role, "Input": called_with}
    aws.client("scheduler").create_schedule(
        Name=name, ScheduleExpression="rate(1 minute)", FlexibleTimeWindow={"Mode": "OFF"}, Target=target
    )


def trusting(aws: LocalAws, name: str, service: str, source: str = SOURCE) -> str:
    """The ARN of a role that may call functions, and that one service may take for one source."""
    role = new_role(aws, name, "lambda:InvokeFunction")
    trust = {
        "Effect": "Allow",
        "Action": "sts:AssumeRole",
        "Principal": {"Service": service},
        "Condition": {"ArnEquals": {"aws:SourceArn": source}, "StringEquals": {"aws:SourceAccount": "000000000000"}},
    }
    aws.client("iam").update_assume_role_policy(RoleName=name, PolicyDocument=json.dumps({"Statement": [trust]}))
    return role


def called(aws: LocalAws, function: str, times: int = 1) -> list[float]:
    """When the function was called, once it was called so many times."""
    return eventually(
        f"{times} calls of {function}", lambda: printed(aws, function, "swept"), lambda calls: len(calls) >= times
    )


def some_minutes(aws: LocalAws, deploy: Deploy, role: str) -> None:
    """Wait until another schedule has called three times."""
    name = f"clock-{uuid.uuid4().hex[:8]}"
    other = deploy()
    new_schedule(aws, name, other, role)
    called(aws, other, 3)
    aws.client("scheduler").delete_schedule(Name=name)


def test_permitted_schedule_calls_every_minute_until_it_is_deleted(aws: LocalAws, deploy: Deploy, role: str) -> None:
    function = deploy()
    began_at = time.time()
    new_schedule(aws, "sweep", function, trusting(aws, "scheduled", "scheduler.amazonaws.com"))
    calls = called(aws, function, 4)
    assert len(calls) <= (calls[-1] - began_at) / MINUTE + 1  # never ahead of time; a slow machine is late
    aws.client("scheduler").delete_schedule(Name="sweep")
    some_minutes(aws, deploy, role)  # a call that was already running
    eventually("no running call", lambda: aws.workers(function, busy=True), lambda busy: busy == [])
    last = len(printed(aws, function, "swept"))
    some_minutes(aws, deploy, role)
    assert len(printed(aws, function, "swept")) == last


def test_schedule_scale_shortens_rates_and_no_times_of_day(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scales, "SCHEDULE_SCALE", 0.01)
    assert scales._shorter_interval(lambda _: 60, "rate(1 minute)") == 0.6
    assert scales._shorter_interval(lambda _: None, "cron(0 3 * * ? *)") is None


def test_schedule_when_its_role_may_no_longer_then_it_does_not_call(aws: LocalAws, deploy: Deploy) -> None:
    function = deploy()
    new_schedule(aws, "barred", function, new_role(aws, "barred", "sqs:SendMessage"))
    needed = {"role": "barred", "action": "lambda:InvokeFunction", "resource": function_arn(function)}

    def asked() -> list[bool]:
        lines = map(json.loads, aws.permissions_path.read_text().splitlines())
        return [line["allowed"] for line in lines if line | needed == line]

    assert eventually("a request of the schedule", asked) == [False]
    assert printed(aws, function, "swept") == []
    change_role(aws, "barred", "lambda:InvokeFunction")
    called(aws, function)
    assert asked() == [False, True]


@pytest.mark.parametrize(
    ("service", "source"),
    [("lambda.amazonaws.com", SOURCE), ("scheduler.amazonaws.com", SOURCE.replace("default", "others"))],
)
def test_schedule_when_scheduler_may_not_take_the_role_then_it_is_refused(
    aws: LocalAws, function: str, service: str, source: str
) -> None:
    role = trusting(aws, f"aloof-{service}-{source[-6:]}", service, source)
    with pytest.raises(ClientError, match="must allow AWS EventBridge Scheduler to assume the role"):
        new_schedule(aws, "refused", function, role)


def test_schedule_when_the_function_fails_then_the_call_is_repeated_twice(
    aws: LocalAws, deploy: Deploy, role: str
) -> None:
    function = deploy()
    new_schedule(aws, "failing", function, role, print="swept by REQUEST_ID\n", decline="lost card")

    def attempts() -> Counter[str]:
        """The number of attempts of each call."""
        return Counter(line for line in log(aws, function) if line.startswith("swept by"))

    eventually("a call", attempts)
    aws.client("scheduler").delete_schedule(Name="failing")
    eventually("three attempts of each call", attempts, lambda tried: set(tried.values()) == {3})


def test_rule_when_the_function_lets_it_then_it_calls_and_not_before(aws: LocalAws, deploy: Deploy) -> None:
    function, permitted, events = deploy(), deploy(), aws.client("events")
    rule = events.put_rule(Name="sweep", ScheduleExpression="rate(1 minute)")["RuleArn"]
    called_with = json.dumps({"print": "swept\n"})
    targets = [
        {"Id": str(number), "Arn": function_arn(name), "Input": called_with}
        for number, name in enumerate((function, permitted))
    ]
    events.put_targets(Rule="sweep", Targets=targets)
    allow(aws, permitted, rule)
    called(aws, permitted, 3)
    assert printed(aws, function, "swept") == []
    allow(aws, function, rule)
    called(aws, function)
    events.remove_targets(Rule="sweep", Ids=["0", "1"])


def allow(aws: LocalAws, function: str, rule: str) -> None:
    """Let a rule call the function."""
    aws.client("lambda").add_permission(
        FunctionName=function,
        StatementId="rule",
        Action="lambda:InvokeFunction",
        Principal="events.amazonaws.com",
        SourceArn=rule,
    )
