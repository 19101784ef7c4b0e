"""One running local AWS for the whole folder, with a function and state machines for the tests."""

import io
import json
import time
import uuid
import zipfile
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from local.ministack.server import LocalAws
from tests.waiting import eventually

WAIT_SCALE = 0.1
SCHEDULE_SCALE = 0.01
VISIBILITY_SCALE = 0.1
MAX_WORKERS = 2

SHELL_SETTINGS = {
    "AWS_CA_BUNDLE": "/nowhere/ca.pem",
    "AWS_PROFILE": "somebody",
    "PYTHONDONTWRITEBYTECODE": "1",
    "PYTHONPATH": "/nowhere",
}

HANDLER = """
import boto3, json, os, random, sys, tempfile, time

LOADED_BY = os.getpid()
OWN_RANDOM = random.Random()
SEEDED = random.Random(7)
calls = 0

class CardDeclined(Exception):
    pass

def handle(event, context):
    if event.get("path") == "/webhooks":
        return {"statusCode": 200, "body": json.dumps(event)}
    if "httpMethod" in event:
        event = json.loads(event["body"])
    if "Records" in event:
        event = json.loads(event["Records"][0]["body"])
    if "sleep" in event:
        time.sleep(event["sleep"])
    while "until" in event and not os.path.exists(event["until"]):
        time.sleep(0.01)
    if "print" in event:
        sys.stdout.write(event["print"].replace("REQUEST_ID", context.aws_request_id))
    if "exit" in event:
        os._exit(event["exit"])
    if "decline" in event:
        raise CardDeclined(event["decline"])
    if "environment" in event:
        return dict(os.environ)
    if event.get("call_itself"):
        payload = json.dumps({"call_itself": event["call_itself"] - 1})
        answer = boto3.client("lambda").invoke(FunctionName=context.function_name, Payload=payload)
        return json.loads(answer["Payload"].read())
    if "own" in event:
        global calls
        calls += 1
        own = {"loaded_by": LOADED_BY, "pid": os.getpid(), "directory": tempfile.gettempdir(), "calls": calls}
        own |= {"log_stream": context.log_stream_name, "random": random.random(), "own_random": OWN_RANDOM.random()}
        own |= {"seeded": SEEDED.random(), "code_mode": os.stat(__file__).st_mode & 0o777}
        return {"own": own | {"access_key": os.environ["AWS_ACCESS_KEY_ID"]}}
    if "list_queues" in event:
        boto3.client("sqs").list_queues()
    return {"statusCode": event.get("status", 200), "body": "{}", "pid": os.getpid()}
"""


@pytest.fixture(scope="session")
def aws() -> Iterator[LocalAws]:
    env = {"ALARM_PERIOD_SECONDS": "0.3", "LAMBDA_PLACES_EACH": str(MAX_WORKERS)}
    local_aws = LocalAws(
        wait_scale=WAIT_SCALE,
        schedule_scale=SCHEDULE_SCALE,
        visibility_scale=VISIBILITY_SCALE,
        record_permissions=True,
        env=env,
    )
    with pytest.MonkeyPatch.context() as shell:
        for name, value in SHELL_SETTINGS.items():
            shell.setenv(name, value)
        local_aws.start()
    yield local_aws
    local_aws.stop()


def new_role(aws: LocalAws, name: str = "all", may: str | list[str] = "*", on: str = "*") -> str:
    """The ARN of a role with these permissions on one thing or everything, which any service and root may take."""
    trust = {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": "*"}
    policy = json.dumps({"Statement": [trust]})
    created = aws.client("iam").create_role(RoleName=name, AssumeRolePolicyDocument=policy)
    change_role(aws, name, may, on)
    return str(created["Role"]["Arn"])


def change_role(aws: LocalAws, name: str, may: str | list[str], on: str = "*") -> None:
    """Give a role these permissions on one thing or everything, and no others."""
    allowed = {"Effect": "Allow", "Action": may, "Resource": on}
    document = json.dumps({"Version": "2012-10-17", "Statement": [allowed]})
    aws.client("iam").put_role_policy(RoleName=name, PolicyName="permissions", PolicyDocument=document)


def new_function(aws: LocalAws, role: str) -> str:
    """A function that does what its event says. Returns its name."""
    name = f"f-{uuid.uuid4().hex[:8]}"
    package = io.BytesIO()
    with zipfile.ZipFile(package, "w") as archive:
        archive.writestr("code.py", HANDLER)
    client = aws.client("lambda")
    client.create_function(
        FunctionName=name,
        Runtime="python3.12",
        Handler="code.handle",
        Role=role,
        Code={"ZipFile": package.getvalue()},
        Timeout=60,
    )
    active(client, name)
    return name


type Deploy = Callable[[], str]
type Invoke = Callable[..., Any]
type Run = Callable[..., dict[str, Any]]


@pytest.fixture(scope="session")
def role(aws: LocalAws) -> str:
    return new_role(aws)


@pytest.fixture(scope="session")
def deploy(aws: LocalAws, role: str) -> Deploy:
    """Create a function that no other test uses. Returns its name."""
    return lambda: new_function(aws, role)


@pytest.fixture(scope="session")
def function(deploy: Deploy) -> str:
    """A function that all tests may call."""
    return deploy()


@pytest.fixture(scope="session")
def invoke(aws: LocalAws) -> Invoke:
    """Call a function. Returns its answer."""
    client = aws.client("lambda")

    def call(name: str, **event: Any) -> Any:
        return json.loads(client.invoke(FunctionName=name, Payload=json.dumps(event))["Payload"].read())

    return call


@pytest.fixture(scope="session")
def run(aws: LocalAws, role: str) -> Run:
    """Run a state machine made of one task, and Done; gives the ended execution."""
    client = aws.client("stepfunctions")

    def run_task(task: dict[str, Any], **event: Any) -> dict[str, Any]:
        states = {"Try": {"Type": "Task", "Next": "Done", **task}, "Done": {"Type": "Succeed"}}
        machine = client.create_state_machine(
            name=uuid.uuid4().hex, roleArn=role, definition=json.dumps({"StartAt": "Try", "States": states})
        )["stateMachineArn"]
        execution = client.start_execution(stateMachineArn=machine, input=json.dumps(event))["executionArn"]
        return eventually("the end of the execution", lambda: ended(client.describe_execution(executionArn=execution)))

    return run_task


def ended(execution: dict[str, Any]) -> dict[str, Any] | None:
    return execution if execution["status"] != "RUNNING" else None


def function_arn(name: str) -> str:
    return f"arn:aws:lambda:us-east-1:000000000000:function:{name}"


def active(client: Any, name: str) -> None:
    """Wait until a function is active."""
    eventually(
        f"the function {name} to be active",
        lambda: client.get_function_configuration(FunctionName=name)["State"],
        lambda state: state == "Active",
    )


def printed(aws: LocalAws, function: str, line: str) -> list[float]:
    """When the function printed this line, in seconds since 1970."""
    return [event["timestamp"] / 1000 for event in _log_events(aws, function) if event["message"] == line]


def log(aws: LocalAws, function: str) -> list[str]:
    """The function's output and Lambda's own log lines."""
    return [event["message"] for event in _log_events(aws, function)]


def _log_events(aws: LocalAws, function: str) -> list[dict[str, Any]]:
    logs = aws.client("logs")
    try:
        events: list[dict[str, Any]] = logs.filter_log_events(logGroupName=f"/aws/lambda/{function}")["events"]
    except logs.exceptions.ResourceNotFoundException:
        return []
    return events


def metric(
    aws: LocalAws, namespace: str, name: str, dimensions: dict[str, str], statistic: str = "Sum"
) -> float | None:
    """One statistic of a metric over the last minutes, None when it has no data."""
    now = time.time()
    points = aws.client("cloudwatch").get_metric_statistics(
        Namespace=namespace,
        MetricName=name,
        Dimensions=[{"Name": name, "Value": value} for name, value in dimensions.items()],
        StartTime=now - 600,
        EndTime=now + 60,
        Period=3600,
        Statistics=[statistic],
    )["Datapoints"]
    values: list[float] = [point[statistic] for point in points]
    match values, statistic:
        case [], _:
            return None
        case _, "Minimum":
            return min(values)
        case _, "Maximum":
            return max(values)
        case _:
            return sum(values)
