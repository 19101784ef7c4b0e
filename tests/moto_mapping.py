"""The event source mapping on moto, which the batch breaker disables and enables."""

import io
import json
import zipfile

import boto3


def event_source_mapping() -> str:
    """Map a queue to an empty function `dispatch`. Returns the mapping's id. The queue is used only here and gets no
    messages: moto would call the function for each, in Docker.
    """
    trust = json.dumps({"Version": "2012-10-17", "Statement": []})
    role = boto3.client("iam").create_role(RoleName="dispatch", AssumeRolePolicyDocument=trust)["Role"]["Arn"]
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as code:
        code.writestr("dispatch.py", "")
    functions, sqs = boto3.client("lambda"), boto3.client("sqs")
    functions.create_function(
        FunctionName="dispatch",
        Runtime="python3.12",
        Role=role,
        Handler="dispatch.handler",
        Code={"ZipFile": archive.getvalue()},
    )
    queue = sqs.create_queue(QueueName="mapped")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    return functions.create_event_source_mapping(FunctionName="dispatch", EventSourceArn=arn)["UUID"]
