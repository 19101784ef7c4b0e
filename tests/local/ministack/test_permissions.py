"""The requests of roles are recorded, and services that act under a role are limited by it, as on AWS."""

import json
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from local.ministack.server import LocalAws
from tests.local.ministack.conftest import Invoke, change_role, ended, function_arn, new_function, new_role
from tests.waiting import eventually

READS_A_QUEUE = ["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"]


def recorded(aws: LocalAws, role: str) -> list[tuple[str, str, bool]]:
    """(action, resource, allowed) of the role's distinct requests, in order of the first."""
    record = aws.permissions_path.read_text() if aws.permissions_path.exists() else ""  # no request yet
    lines = map(json.loads, record.splitlines())
    return [(line["action"], line["resource"], line["allowed"]) for line in lines if line["role"] == role]


def new_queue(aws: LocalAws, name: str) -> tuple[str, str]:
    """The URL and the ARN of a new queue."""
    sqs = aws.client("sqs")
    url = sqs.create_queue(QueueName=name)["QueueUrl"]
    return url, sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]


def test_permission_used_twice_by_a_function_is_recorded_once_for_its_role(aws: LocalAws, invoke: Invoke) -> None:
    name = new_function(aws, new_role(aws, "asker", "sqs:ListQueues"))
    for _ in range(2):
        invoke(name, list_queues=True)
    change_role(aws, "asker", "sqs:SendMessage")
    assert invoke(name, list_queues=True)["errorType"] == "ClientError"
    assert [(action, allowed) for action, _, allowed in recorded(aws, "asker")] == [
        ("sqs:ListQueues", True),
        ("sqs:ListQueues", False),
    ]


def test_state_machine_without_permission_for_a_function_fails_its_task(aws: LocalAws, function: str) -> None:
    role = new_role(aws, "idle-machine", "sns:Publish")
    error = run_once(aws, role, {"Resource": function_arn(function)})["error"]
    assert error == "Lambda.AWSLambdaException"
    task = {"Resource": "arn:aws:states:::lambda:invoke", "Parameters": {"FunctionName": function}}
    assert run_once(aws, role, task)["error"] == error
    assert recorded(aws, "idle-machine") == [("lambda:InvokeFunction", function_arn(function), False)]


def test_state_machine_when_its_role_may_not_publish_then_the_task_fails(aws: LocalAws) -> None:
    topic = aws.client("sns").create_topic(Name="guarded")["TopicArn"]
    deny = {"Effect": "Deny", "Principal": "*", "Action": "sns:Publish", "Resource": topic}
    aws.client("sns").set_topic_attributes(
        TopicArn=topic, AttributeName="Policy", AttributeValue=json.dumps({"Statement": [deny]})
    )
    role = new_role(aws, "publisher", "sns:Publish")
    publish = {"Resource": "arn:aws:states:::sns:publish", "Parameters": {"TopicArn": topic, "Message": "m"}}
    assert run_once(aws, role, publish)["error"] == "SNS.AuthorizationErrorException"


def test_state_machine_when_its_role_may_then_the_task_succeeds(aws: LocalAws, function: str) -> None:
    role = new_role(aws, "machine", "lambda:InvokeFunction")
    assert run_once(aws, role, {"Resource": function_arn(function)})["status"] == "SUCCEEDED"
    assert recorded(aws, "machine") == [("lambda:InvokeFunction", function_arn(function), True)]


def run_once(aws: LocalAws, role: str, task: dict[str, Any]) -> dict[str, Any]:
    """Run a machine of one task under the role. Returns the ended execution."""
    client = aws.client("stepfunctions")
    definition = json.dumps({"StartAt": "Try", "States": {"Try": {"Type": "Task", "End": True, **task}}})
    name = f"guarded-{len(client.list_state_machines()['stateMachines'])}"
    machine = client.create_state_machine(name=name, roleArn=role, definition=definition)["stateMachineArn"]
    execution = client.start_execution(stateMachineArn=machine)["executionArn"]
    return eventually("the end of the execution", lambda: ended(client.describe_execution(executionArn=execution)))


def test_queue_mapping_when_the_role_may_not_read_then_it_is_refused(aws: LocalAws) -> None:
    name = new_function(aws, new_role(aws, "no-reader", "sqs:SendMessage"))
    with pytest.raises(ClientError, match="does not have permissions to call ReceiveMessage on SQS"):
        aws.client("lambda").create_event_source_mapping(
            FunctionName=name, EventSourceArn=new_queue(aws, "unreadable")[1]
        )


def test_queue_mapping_waits_until_a_removed_permission_is_back(aws: LocalAws) -> None:
    name = new_function(aws, new_role(aws, "reader", READS_A_QUEUE))
    url, arn = new_queue(aws, "readable")
    functions, sqs = aws.client("lambda"), aws.client("sqs")
    mapping = functions.create_event_source_mapping(FunctionName=name, EventSourceArn=arn)["UUID"]

    def outcome() -> str:
        return str(functions.get_event_source_mapping(UUID=mapping)["LastProcessingResult"])

    change_role(aws, "reader", READS_A_QUEUE[:1])
    sqs.send_message(QueueUrl=url, MessageBody="{}")
    eventually("a refused read", outcome, lambda result: result.startswith("PROBLEM"))
    change_role(aws, "reader", READS_A_QUEUE)
    eventually("a permitted read", outcome, lambda result: result.startswith("OK"))
    assert recorded(aws, "reader") == [
        *((action, arn, True) for action in READS_A_QUEUE),
        ("sqs:DeleteMessage", arn, False),
    ]


def test_policy_on_encryption_context_refuses_kms_requests_without_it(aws: LocalAws) -> None:
    key = aws.client("kms").create_key()["KeyMetadata"]["Arn"]
    role = new_role(aws, "sealer", "sqs:ListQueues")
    condition = {"Null": {"kms:EncryptionContext:payment_id": "false"}}
    allow = {"Effect": "Allow", "Action": "kms:GenerateDataKey", "Resource": key, "Condition": condition}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [allow]})
    aws.client("iam").put_role_policy(RoleName="sealer", PolicyName="seal", PolicyDocument=policy)
    session = aws.client("sts").assume_role(RoleArn=role, RoleSessionName="test")["Credentials"]
    kms = aws.client(
        "kms",
        aws_access_key_id=session["AccessKeyId"],
        aws_secret_access_key=session["SecretAccessKey"],
        aws_session_token=session["SessionToken"],
    )
    kms.generate_data_key(KeyId=key, KeySpec="AES_256", EncryptionContext={"payment_id": "pay_1"})
    for context in ({}, {"customer_id": "cus_1"}):
        with pytest.raises(ClientError, match="AccessDenied"):
            kms.generate_data_key(KeyId=key, KeySpec="AES_256", EncryptionContext=context)


def test_failed_event_goes_to_its_destination_if_the_role_may_send_there(aws: LocalAws) -> None:
    url, queue = new_queue(aws, "kept")
    name = new_function(aws, new_role(aws, "keeper", "sqs:ListQueues"))
    functions, sqs = aws.client("lambda"), aws.client("sqs")
    functions.put_function_event_invoke_config(
        FunctionName=name, MaximumRetryAttempts=0, DestinationConfig={"OnFailure": {"Destination": queue}}
    )

    def failing(payload: str) -> None:
        event = json.dumps({"decline": payload})
        functions.invoke(FunctionName=name, InvocationType="Event", Payload=event)

    failing("dropped")
    eventually(
        "a refused request to send",
        lambda: recorded(aws, "keeper"),
        lambda requests: ("sqs:SendMessage", queue, False) in requests,
    )
    change_role(aws, "keeper", "sqs:SendMessage")
    failing("kept")
    [message] = eventually(
        "the kept event", lambda: sqs.receive_message(QueueUrl=url, WaitTimeSeconds=1).get("Messages")
    )
    failure = json.loads(message["Body"])
    assert failure["requestPayload"] == {"decline": "kept"}
    assert failure["requestContext"]["condition"] == "RetriesExhausted"
    assert failure["responsePayload"]["errorType"]


def test_bucket_policy_knows_a_session_by_the_arn_of_its_role(aws: LocalAws) -> None:
    bucket = "known-by-role"
    aws.client("s3").create_bucket(Bucket=bucket)
    arns = {name: new_role(aws, name, may="s3:PutObject") for name in ("named-in-policy", "stranger-to-policy")}
    denied = {
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:PutObject",
        "Resource": f"arn:aws:s3:::{bucket}/*",
        "Condition": {"ArnNotEquals": {"aws:PrincipalArn": arns["named-in-policy"]}},
    }
    policy = json.dumps({"Version": "2012-10-17", "Statement": [denied]})
    aws.client("s3").put_bucket_policy(Bucket=bucket, Policy=policy)

    def uploads(role: str) -> bool:
        keys = aws.client("sts").assume_role(RoleArn=arns[role], RoleSessionName="me")["Credentials"]
        secrets = (keys["AccessKeyId"], keys["SecretAccessKey"], keys["SessionToken"])
        s3 = boto3.Session(*secrets, region_name="us-east-1").client(
            "s3", config=Config(proxies={}), endpoint_url=aws.endpoint_url, verify=str(aws.ca_bundle)
        )
        try:
            s3.put_object(Bucket=bucket, Key="a", Body=b"")
        except s3.exceptions.ClientError:
            return False
        return True

    assert [uploads(role) for role in arns] == [True, False]
