"""Benchmark of the API: warm answers to POST /payments and GET /payments/{id}, compared with a bare function.

The bare function has two lines and its own REST API in the same local AWS. The difference is the cost of our code.
"""

import io
import json
import statistics
import sys
import time
import uuid
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import requests

from local.stack import LocalStack, NotRunning

ROUNDS, WARM_UP = 200, 20
BARE = "def handler(event, context):\n    return {'statusCode': 200, 'body': '{}'}\n"
_NAME = "bench-bare"


def main() -> int:
    """Print the table. Without a running stack, print how to start one."""
    stack = LocalStack()
    try:
        outputs = stack.outputs
    except NotRunning as missing:
        print(f"api: {missing}, then run this again")  # noqa: T201
        return 0
    session = requests.Session()
    session.trust_env = False
    session.verify = outputs["ca_bundle"]
    session.headers["Authorization"] = f"Bearer {stack.token('merchant')}"
    ids: list[str] = []

    def submit() -> requests.Response:
        ids.append(f"bench_{uuid.uuid4().hex}")
        body = {"payment_id": ids[-1], "amount": 5, "currency": "USD"}
        return session.post(f"{outputs['api_url']}/payments", data=json.dumps(body), timeout=30)

    with _bare_function(stack) as url:
        calls: dict[str, Callable[[], requests.Response]] = {
            "a bare function": lambda: session.get(url, timeout=30),
            "POST /payments": submit,
            "GET /payments/{id}": lambda: session.get(f"{outputs['api_url']}/payments/{ids[0]}", timeout=30),
        }
        for call in calls.values():
            for _ in range(WARM_UP):
                call().raise_for_status()
        times: dict[str, list[float]] = {name: [] for name in calls}
        for _ in range(ROUNDS):  # alternate, to measure all under the same conditions
            for name, call in calls.items():
                times[name].append(_milliseconds(call))
            time.sleep(0.2)  # the payment's workflow runs in this time and is not measured
    for name, measured in times.items():
        p50, p95 = statistics.median(measured), statistics.quantiles(measured, n=20)[-1]
        ratio = p95 / statistics.quantiles(times["a bare function"], n=20)[-1]
        print(f"{name:20} p50 {p50:5.1f} ms   p95 {p95:5.1f} ms   {ratio:4.1f} times the bare function")  # noqa: T201
    return 0


def _milliseconds(call: Callable[[], requests.Response]) -> float:
    start = time.perf_counter()
    call().raise_for_status()
    return (time.perf_counter() - start) * 1000


@contextmanager
def _bare_function(stack: LocalStack) -> Iterator[str]:
    """Deploy the bare function and yield its address. At the end it is deleted."""
    client, outputs = stack.aws.client, stack.outputs
    functions, gateway, iam = client("lambda"), client("apigateway"), client("iam")
    trust = {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [trust]})
    role = iam.create_role(RoleName=_NAME, AssumeRolePolicyDocument=policy)["Role"]["Arn"]
    package = io.BytesIO()
    with zipfile.ZipFile(package, "w") as archive:
        archive.writestr("bare.py", BARE)
    usual: dict[str, Any] = {"Runtime": "python3.12", "Handler": "bare.handler", "Role": role}
    function = functions.create_function(FunctionName=_NAME, Code={"ZipFile": package.getvalue()}, **usual)
    functions.add_permission(
        FunctionName=_NAME, StatementId="api", Action="lambda:InvokeFunction", Principal="apigateway.amazonaws.com"
    )
    api = gateway.create_rest_api(name=_NAME)["id"]
    try:
        root = {"restApiId": api, "resourceId": gateway.get_resources(restApiId=api)["items"][0]["id"]}
        gateway.put_method(**root, httpMethod="GET", authorizationType="NONE")
        path = f"path/2015-03-31/functions/{function['FunctionArn']}/invocations"
        uri = f"arn:aws:apigateway:{outputs['region']}:lambda:{path}"
        gateway.put_integration(**root, httpMethod="GET", type="AWS_PROXY", integrationHttpMethod="POST", uri=uri)
        gateway.create_deployment(restApiId=api, stageName="bench")
        yield f"{outputs['endpoint_url']}/_aws/execute-api/{api}/bench/"
    finally:
        gateway.delete_rest_api(restApiId=api)
        functions.delete_function(FunctionName=_NAME)
        iam.delete_role(RoleName=_NAME)


if __name__ == "__main__":
    sys.exit(main())
