"""Injected faults affect only roles, by the seed; a killed worker fails its caller, and the next call works."""

import json
import random
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from local.ministack.server import LocalAws
from tests.local.ministack.conftest import VISIBILITY_SCALE, Deploy, Invoke, Run, function_arn, new_role, printed
from tests.waiting import eventually

START = "states:StartExecution"
GET = "dynamodb:GetItem"
RNG = random.Random(1)
ONCE = Config(retries={"total_max_attempts": 1})


@pytest.fixture(autouse=True)
def calm_again(aws: LocalAws) -> Iterator[None]:
    yield
    aws.disturb({})


@pytest.fixture(scope="module")
def session(aws: LocalAws) -> dict[str, Any]:
    """The keys of a role that may do everything, for calls that are made once."""
    role = new_role(aws, "disturbed")
    keys = aws.client("sts").assume_role(RoleArn=role, RoleSessionName="disturbed")["Credentials"]
    return {
        "aws_access_key_id": keys["AccessKeyId"],
        "aws_secret_access_key": keys["SecretAccessKey"],
        "aws_session_token": keys["SessionToken"],
        "config": ONCE,
    }


@pytest.fixture(scope="module")
def table(aws: LocalAws) -> str:
    aws.client("dynamodb").create_table(
        TableName="disturbed",
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    return "disturbed"


def outcome(call: Any, **arguments: Any) -> str:
    """The code of the error that a call ends with, "" for success."""
    try:
        call(**arguments)
    except ClientError as error:
        return str(error.response["Error"]["Code"])
    return ""


def gets(client: Any, table: str, times: int) -> list[str]:
    return [outcome(client.get_item, TableName=table, Key={"id": {"S": "1"}}) for _ in range(times)]


def test_disturb_with_a_share_fails_a_roles_calls_chosen_by_the_seed(
    aws: LocalAws, session: dict[str, Any], table: str
) -> None:
    client = aws.client("dynamodb", **session)
    runs = []
    for seed in (7, 7, 8):
        aws.disturb({GET: 0.3}, seed=seed)
        runs.append(gets(client, table, 60))
    assert runs[0] == runs[1] != runs[2]
    assert set(runs[0]) == {"", "ProvisionedThroughputExceededException", "InternalServerError"}
    assert 9 <= 60 - runs[0].count("") <= 27


def test_disturb_everything_spares_root_and_other_actions_and_is_counted(
    aws: LocalAws, session: dict[str, Any], table: str
) -> None:
    before = aws.disturbed().get(GET, {}).get("refused", 0)
    aws.disturb({GET: 1})
    assert "" not in gets(aws.client("dynamodb", **session), table, 4)
    assert outcome(aws.client("dynamodb", **session).describe_table, TableName=table) == ""
    assert gets(aws.client("dynamodb", config=ONCE), table, 4) == [""] * 4
    assert aws.disturbed()[GET]["refused"] == before + 4
    aws.disturb({})
    assert gets(aws.client("dynamodb", **session), table, 4) == [""] * 4


@pytest.mark.parametrize(
    ("service", "call", "arguments", "action", "codes"),
    [
        ("sqs", "list_queues", {}, "sqs:ListQueues", {"RequestThrottled", "ServiceUnavailable"}),
        ("sns", "list_topics", {}, "sns:ListTopics", {"Throttled", "InternalError"}),
        ("s3", "get_object", {"Bucket": "b", "Key": "k"}, "s3:GetObject", {"SlowDown", "InternalError"}),
        ("lambda", "list_functions", {}, "lambda:ListFunctions", {"TooManyRequestsException", "ServiceException"}),
        ("ssm", "describe_parameters", {}, "ssm:DescribeParameters", {"ThrottlingException", "ServiceUnavailable"}),
        (
            "dynamodb",
            "transact_write_items",
            {"TransactItems": [{"Delete": {"TableName": "disturbed", "Key": {"id": {"S": "1"}}}}]},
            "dynamodb:TransactWriteItems",
            {"ThrottlingException", "InternalServerError"},
        ),
    ],
)
def test_disturb_when_a_service_fails_then_its_sdk_reads_its_own_error(
    aws: LocalAws,
    session: dict[str, Any],
    service: str,
    call: str,
    arguments: dict[str, Any],
    action: str,
    codes: set[str],
) -> None:
    aws.disturb({action: 1})
    method = getattr(aws.client(service, **session), call)
    assert {outcome(method, **arguments) for _ in range(8)} == codes


def test_disturb_when_answers_are_lost_then_half_of_the_failed_starts_run(
    aws: LocalAws, session: dict[str, Any], role: str
) -> None:
    definition = json.dumps({"StartAt": "Done", "States": {"Done": {"Type": "Succeed"}}})
    root = aws.client("stepfunctions")
    machine = root.create_state_machine(name=uuid.uuid4().hex, roleArn=role, definition=definition)["stateMachineArn"]
    aws.disturb({START: 1}, lose_answers=[START])
    client = aws.client("stepfunctions", **session)
    codes = [outcome(client.start_execution, stateMachineArn=machine, name=f"pay_{n}") for n in range(20)]
    assert set(codes) == {"ThrottlingException", "ServiceUnavailable"}
    started = len(root.list_executions(stateMachineArn=machine)["executions"])
    assert 3 <= started <= 17
    assert aws.disturbed()[START] == {"refused": 20 - started, "answer lost": started}


def test_functions_own_request_is_retried_until_it_succeeds(aws: LocalAws, deploy: Deploy, invoke: Invoke) -> None:
    name = deploy()
    aws.disturb({"sqs:ListQueues": 0.5}, seed=3)
    answers = [invoke(name, list_queues=True) for _ in range(12)]
    assert any(answer.get("statusCode") == 200 for answer in answers)
    errors = {answer["errorType"] for answer in answers if "errorType" in answer}
    assert "AttributeError" not in errors, answers


def test_disturbed_function_call_fails_its_task_and_is_retried(aws: LocalAws, function: str, run: Run) -> None:
    aws.disturb({"lambda:InvokeFunction": 1})
    error = run({"Resource": function_arn(function)})["error"]
    assert error in ("Lambda.TooManyRequestsException", "Lambda.ServiceException")
    aws.disturb({"lambda:InvokeFunction": 0.5})
    retry = {"ErrorEquals": ["States.ALL"], "MaxAttempts": 20, "IntervalSeconds": 1, "BackoffRate": 1}
    assert run({"Resource": function_arn(function), "Retry": [retry]})["status"] == "SUCCEEDED"


def waits(folder: Path) -> str:
    """An event whose call ends after `release` of the folder, and prints `done`."""
    return json.dumps({"until": str(folder / "go"), "print": "done"})


def release(folder: Path) -> None:
    """End the calls that wait for this folder."""
    (folder / "go").touch()


def kill_when_busy(aws: LocalAws, function: str) -> int:
    """Kill the function's worker as soon as it is busy. Returns its process id."""
    return eventually(f"a busy worker of {function}", lambda: aws.kill_worker(RNG, function))


def test_kill_worker_when_none_is_at_work_then_none_is_killed(aws: LocalAws, deploy: Deploy, invoke: Invoke) -> None:
    name = deploy()
    pid = invoke(name)["pid"]
    eventually("no busy worker", lambda: aws.workers(name, busy=True), lambda busy: busy == [])
    assert aws.workers(name) == [pid]
    assert pid in aws.workers()
    assert aws.kill_worker(RNG, name) is None
    assert invoke(name)["pid"] == pid


def test_killed_worker_fails_its_task_and_the_retry_gets_a_new_worker(
    aws: LocalAws, deploy: Deploy, role: str, tmp_path: Path
) -> None:
    name, client = deploy(), aws.client("stepfunctions")
    retry = {"ErrorEquals": ["Runtime.ExitError"], "MaxAttempts": 3, "IntervalSeconds": 1}
    task = {"Type": "Task", "Resource": function_arn(name), "Retry": [retry], "End": True}
    machine = client.create_state_machine(
        name=uuid.uuid4().hex, roleArn=role, definition=json.dumps({"StartAt": "Try", "States": {"Try": task}})
    )["stateMachineArn"]
    execution = client.start_execution(stateMachineArn=machine, input=waits(tmp_path))["executionArn"]
    killed = kill_when_busy(aws, name)
    release(tmp_path)
    eventually(
        "the execution to succeed",
        lambda: client.describe_execution(executionArn=execution)["status"],
        lambda status: status == "SUCCEEDED",
    )
    history = client.get_execution_history(executionArn=execution)["events"]
    answer = json.loads(client.describe_execution(executionArn=execution)["output"])
    assert "Runtime.ExitError" in str(history)
    assert answer["pid"] != killed


def test_kill_worker_when_a_message_is_at_work_then_it_comes_back(
    aws: LocalAws, deploy: Deploy, tmp_path: Path
) -> None:
    name, sqs = deploy(), aws.client("sqs")
    attributes = {"VisibilityTimeout": "10"}
    url = sqs.create_queue(QueueName="killed", Attributes=attributes)["QueueUrl"]
    aws.client("lambda").create_event_source_mapping(
        FunctionName=name, EventSourceArn="arn:aws:sqs:us-east-1:000000000000:killed"
    )
    sent_at = time.time()
    sqs.send_message(QueueUrl=url, MessageBody=waits(tmp_path))
    kill_when_busy(aws, name)
    release(tmp_path)
    done = eventually("the repeated call", lambda: printed(aws, name, "done"))
    assert done[0] - sent_at >= 10 * VISIBILITY_SCALE


def test_asynchronous_call_of_a_killed_worker_is_repeated(aws: LocalAws, deploy: Deploy, tmp_path: Path) -> None:
    name = deploy()
    aws.client("lambda").invoke(FunctionName=name, InvocationType="Event", Payload=waits(tmp_path))
    kill_when_busy(aws, name)
    release(tmp_path)
    assert len(eventually("the repeated call", lambda: printed(aws, name, "done"))) == 1
