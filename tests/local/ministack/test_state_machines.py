"""State machines retry, publish, trace and count as on AWS."""

import json
from typing import Any

import pytest

from local.ministack.fixes.step_functions.retry_delays import delay_seconds
from local.ministack.server import LocalAws
from tests.local.ministack.conftest import Run, function_arn, metric
from tests.waiting import eventually


def seconds_taken(execution: dict[str, Any]) -> float:
    return float((execution["stopDate"] - execution["startDate"]).total_seconds())


def test_retry_when_it_has_a_longest_delay_then_no_wait_is_longer(function: str, run: Run) -> None:
    retry = {"ErrorEquals": ["CardDeclined"], "MaxAttempts": 2, "IntervalSeconds": 60, "MaxDelaySeconds": 1}
    execution = run({"Resource": function_arn(function), "Retry": [retry]}, decline="try again")
    assert execution["error"] == "CardDeclined"
    uncapped_seconds = 2 * 60 * 0.1  # two waits under the wait scale
    assert 0.2 <= seconds_taken(execution) < uncapped_seconds / 2


def test_retry_delay_when_it_is_jittered_then_it_lies_anywhere_below() -> None:
    retrier = {"IntervalSeconds": 2, "BackoffRate": 3, "MaxDelaySeconds": 10, "JitterStrategy": "FULL"}
    delays = [delay_seconds(retrier, 5) for _ in range(200)]
    assert 0 <= min(delays) < 3
    assert 7 < max(delays) <= 10


def test_retry_delay_when_it_is_plain_then_it_grows_by_its_rate() -> None:
    assert [delay_seconds({"IntervalSeconds": 2, "BackoffRate": 3}, done) for done in range(3)] == [2, 6, 18]


def test_publish_when_it_has_attributes_then_subscriptions_filter_by_them(aws: LocalAws, run: Run) -> None:
    sqs, sns = aws.client("sqs"), aws.client("sns")
    topic = sns.create_topic(Name="payment-events")["TopicArn"]
    queue = sqs.create_queue(QueueName="declined")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    allow = {"Effect": "Allow", "Principal": "*", "Action": "sqs:SendMessage", "Resource": arn}
    sqs.set_queue_attributes(QueueUrl=queue, Attributes={"Policy": json.dumps({"Statement": [allow]})})
    filtered = {"FilterPolicy": json.dumps({"status": ["declined"]}), "RawMessageDelivery": "true"}
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn, Attributes=filtered)
    status = {"DataType": "String", "StringValue.$": "$.status"}
    arguments = {"TopicArn": topic, "Message.$": "$.status", "MessageAttributes": {"status": status}}
    for outcome in ("succeeded", "declined"):
        run({"Resource": "arn:aws:states:::sns:publish", "Parameters": arguments}, status=outcome)
    messages = sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10)["Messages"]
    assert [message["Body"] for message in messages] == ["declined"]


def new_machine(aws: LocalAws, role: str, name: str, kind: str = "STANDARD") -> str:
    """The ARN of a machine that waits for an hour at the wait scale."""
    states = {"Wait": {"Type": "Wait", "Seconds": 36000, "End": True}}
    definition = json.dumps({"StartAt": "Wait", "States": states})
    return str(
        aws.client("stepfunctions").create_state_machine(name=name, roleArn=role, type=kind, definition=definition)[
            "stateMachineArn"
        ]
    )


def test_start_with_a_running_name_and_input_returns_that_execution(aws: LocalAws, role: str) -> None:
    client = aws.client("stepfunctions")
    start = {"stateMachineArn": new_machine(aws, role, "idempotent"), "name": "pay_1", "input": '{"id": 1}'}
    first = client.start_execution(**start)
    again = client.start_execution(**start)
    assert [again[name] for name in ("executionArn", "startDate")] == [first["executionArn"], first["startDate"]]
    with pytest.raises(client.exceptions.ExecutionAlreadyExists):
        client.start_execution(**start | {"input": '{"id": 2}'})
    client.stop_execution(executionArn=first["executionArn"])
    with pytest.raises(client.exceptions.ExecutionAlreadyExists):
        client.start_execution(**start)


def test_start_when_the_machine_is_express_then_a_name_may_repeat(aws: LocalAws, role: str) -> None:
    client = aws.client("stepfunctions")
    machine = new_machine(aws, role, "express", "EXPRESS")
    arns = {client.start_execution(stateMachineArn=machine, name="pay_1")["executionArn"] for _ in range(3)}
    assert len(arns) == 3


def test_tracing_when_a_machine_has_it_then_it_is_described(aws: LocalAws, role: str) -> None:
    client = aws.client("stepfunctions")
    definition = json.dumps({"StartAt": "Done", "States": {"Done": {"Type": "Succeed"}}})
    machine = client.create_state_machine(
        name="traced", roleArn=role, definition=definition, tracingConfiguration={"enabled": True}
    )["stateMachineArn"]

    def tracing() -> Any:
        return client.describe_state_machine(stateMachineArn=machine)["tracingConfiguration"]

    assert tracing() == {"enabled": True}
    client.update_state_machine(stateMachineArn=machine, tracingConfiguration={"enabled": False})
    assert tracing() == {"enabled": False}


def test_execution_metrics_when_one_of_two_fails_then_each_outcome_counts(
    aws: LocalAws, function: str, run: Run
) -> None:
    execution = run({"Resource": function_arn(function)}, decline="lost card")
    dimensions = {"StateMachineArn": execution["stateMachineArn"]}
    aws.client("stepfunctions").start_execution(stateMachineArn=execution["stateMachineArn"], input="{}")
    assert (
        eventually("a succeeded execution", lambda: metric(aws, "AWS/States", "ExecutionsSucceeded", dimensions)) == 1
    )
    assert metric(aws, "AWS/States", "ExecutionsStarted", dimensions) == 2
    assert metric(aws, "AWS/States", "ExecutionsFailed", dimensions) == 1
    again = aws.client("stepfunctions").list_executions(stateMachineArn=execution["stateMachineArn"])["executions"]
    took = [(one["stopDate"] - one["startDate"]).total_seconds() * 1000 for one in again]
    longest_ms = metric(aws, "AWS/States", "ExecutionTime", dimensions, "Maximum")
    assert longest_ms == pytest.approx(max(took), abs=2)
