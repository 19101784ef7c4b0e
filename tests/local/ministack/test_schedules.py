"""A schedule calls its function on time, under its role; a rule does under the function's policy."""

import json
import time
from collections import Counter
from itertools import pairwise
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local.ministack.server import LocalAws
from tests.local.ministack.conftest import (
    SCHEDULE_SCALE,
    Deploy,
    change_role,
    eventually,
    function_arn,
    log,
    new_role,
    printed,
)

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


def test_permitted_schedule_calls_every_minute_until_it_is_deleted(aws: LocalAws, deploy: Deploy) -> None:
    function = deploy()
    new_schedule(aws, "sweep", function, trusting(aws, "scheduled", "scheduler.amazonaws.com"))
    eventually(lambda: len(printed(aws, function, "swept")) >= 4)
    aws.client("scheduler").delete_schedule(Name="sweep")
    calls = printed(aws, function, "swept")
    between = [later - earlier for earlier, later in pairwise(calls)]
    assert MINUTE / 2 < sum(between) / len(between) < MINUTE * 2
    time.sleep(MINUTE)  # a call that was already running
    last = len(printed(aws, function, "swept"))
    time.sleep(2 * MINUTE)
    assert len(printed(aws, function, "swept")) == last


def test_schedule_when_its_role_may_no_longer_then_it_does_not_call(aws: LocalAws, deploy: Deploy) -> None:
    function = deploy()
    new_schedule(aws, "barred", function, new_role(aws, "barred", "sqs:SendMessage"))
    time.sleep(3 * MINUTE)
    assert printed(aws, function, "swept") == []
    change_role(aws, "barred", "lambda:InvokeFunction")
    eventually(lambda: printed(aws, function, "swept"))
    asked = [json.loads(line) for line in aws.permissions_path.read_text().splitlines()]
    needed = {"role": "barred", "action": "lambda:InvokeFunction", "resource": function_arn(function)}
    assert [line["allowed"] for line in asked if line | needed == line] == [False, True]


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

    eventually(attempts)
    aws.client("scheduler").delete_schedule(Name="failing")
    eventually(lambda: set(attempts().values()) == {3})


def test_rule_when_the_function_lets_it_then_it_calls_and_not_before(aws: LocalAws, deploy: Deploy) -> None:
    function, events = deploy(), aws.client("events")
    rule = events.put_rule(Name="sweep", ScheduleExpression="rate(1 minute)")["RuleArn"]
    target = {"Id": "1", "Arn": function_arn(function), "Input": json.dumps({"print": "swept\n"})}
    events.put_targets(Rule="sweep", Targets=[target])
    time.sleep(3 * MINUTE)
    assert printed(aws, function, "swept") == []
    aws.client("lambda").add_permission(
        FunctionName=function,
        StatementId="rule",
        Action="lambda:InvokeFunction",
        Principal="events.amazonaws.com",
        SourceArn=rule,
    )
    eventually(lambda: printed(aws, function, "swept"))
    events.remove_targets(Rule="sweep", Ids=["1"])
