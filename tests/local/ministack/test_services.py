"""Queues and APIs report their metrics to CloudWatch; S3 answers with the bytes that were asked for."""

import json
import urllib.error
import urllib.request
from ssl import create_default_context

import pytest

from local.ministack.server import LocalAws
from tests.local.ministack.conftest import function_arn, metric
from tests.waiting import eventually


def test_queue_metrics_show_a_message_in_flight_and_one_waiting(aws: LocalAws) -> None:
    sqs = aws.client("sqs")
    queue = sqs.create_queue(QueueName="measured")["QueueUrl"]
    for body in ("taken", "waiting"):
        sqs.send_message(QueueUrl=queue, MessageBody=body)
    sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=1)

    def most(name: str) -> float | None:
        return metric(aws, "AWS/SQS", name, {"QueueName": "measured"}, "Maximum")

    assert eventually("a message in flight", lambda: most("ApproximateNumberOfMessagesNotVisible")) == 1
    assert most("ApproximateNumberOfMessagesVisible") in (1, 2)  # 2 if a tick came before the message was taken
    age_seconds = most("ApproximateAgeOfOldestMessage")
    assert age_seconds is not None
    assert 0 < age_seconds < 60


def test_queue_metrics_when_a_queue_is_empty_then_they_are_zero(aws: LocalAws) -> None:
    aws.client("sqs").create_queue(QueueName="empty")
    dimensions = {"QueueName": "empty"}
    eventually(
        "the age of the oldest message",
        lambda: metric(aws, "AWS/SQS", "ApproximateAgeOfOldestMessage", dimensions, "Maximum"),
        lambda seconds: seconds == 0,
    )
    assert metric(aws, "AWS/SQS", "ApproximateNumberOfMessagesVisible", dimensions, "Maximum") == 0


def test_api_metrics_count_requests_client_errors_and_server_errors(aws: LocalAws, function: str) -> None:
    client = aws.client("apigateway")
    api = client.create_rest_api(name="measured")["id"]
    root = client.get_resources(restApiId=api)["items"][0]["id"]
    where = {"restApiId": api, "resourceId": root, "httpMethod": "POST"}
    client.put_method(**where, authorizationType="NONE")
    uri = f"arn:aws:apigateway:us-east-1:lambda:path/2015-03-31/functions/{function_arn(function)}/invocations"
    client.put_integration(**where, type="AWS_PROXY", integrationHttpMethod="POST", uri=uri)
    client.create_deployment(restApiId=api, stageName="dev")
    aws.client("lambda").add_permission(
        FunctionName=function,
        StatementId="api",
        Action="lambda:InvokeFunction",
        Principal="apigateway.amazonaws.com",
    )

    stage = f"/_aws/execute-api/{api}/dev"
    assert post(aws, f"{stage}/", {}) == 200
    assert post(aws, f"{stage}/nowhere", {}) == 403
    assert post(aws, f"{stage}/", {"decline": "lost card"}) == 502

    for dimensions in ({"ApiName": "measured"}, {"ApiName": "measured", "Stage": "dev"}):
        names = ("Count", "4XXError", "5XXError")
        counts = {name: metric(aws, "AWS/ApiGateway", name, dimensions) for name in names}
        assert counts == {"Count": 3, "4XXError": 1, "5XXError": 1}
        assert (metric(aws, "AWS/ApiGateway", "Latency", dimensions) or 0) > 0


def post(aws: LocalAws, path: str, body: dict[str, str]) -> int:
    trust = create_default_context(cafile=str(aws.ca_bundle))
    request = urllib.request.Request(aws.endpoint_url + path, json.dumps(body).encode(), method="POST")  # noqa: S310
    try:
        with urllib.request.urlopen(request, context=trust) as response:  # noqa: S310 - our own https
            return int(response.status)
    except urllib.error.HTTPError as error:
        return error.code


@pytest.mark.parametrize(("asked", "found"), [("0-3", b"0123"), ("4-5", b"45"), ("8-20", b"89"), ("7-", b"789")])
def test_range_of_an_object_version_has_only_its_bytes(aws: LocalAws, asked: str, found: bytes) -> None:
    s3 = aws.client("s3")
    s3.create_bucket(Bucket="ranges")
    s3.put_bucket_versioning(Bucket="ranges", VersioningConfiguration={"Status": "Enabled"})
    version = s3.put_object(Bucket="ranges", Key="digits", Body=b"0123456789")["VersionId"]
    s3.put_object(Bucket="ranges", Key="digits", Body=b"later")
    answer = s3.get_object(Bucket="ranges", Key="digits", VersionId=version, Range=f"bytes={asked}")
    assert answer["Body"].read() == found
    assert answer["ContentRange"].endswith("/10")
