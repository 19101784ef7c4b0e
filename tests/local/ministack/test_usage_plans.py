"""A usage plan counts for the key that the authorizer names, and a web ACL is returned as it was created."""

import io
import json
import urllib.error
import urllib.request
import uuid
import zipfile
from collections.abc import Callable
from itertools import takewhile
from ssl import create_default_context
from typing import Any

import pytest

from local.ministack.server import REGION, LocalAws
from tests.local.ministack.conftest import active, function_arn, new_role

AUTHORIZER = """
def handle(event, context):
    who = event["authorizationToken"]
    policy = {"Effect": "Allow", "Action": "execute-api:Invoke", "Resource": "*"}
    key = {"usageIdentifierKey": f"the-key-of-the-merchant-{who}"} if who != "keyless" else {}
    return {"principalId": who, "policyDocument": {"Statement": [policy]}, "context": {"who": who}, **key}
"""
ECHO = """
import json

def handle(event, context):
    return {"statusCode": 200, "body": json.dumps(event["requestContext"]["authorizer"])}
"""

type Get = Callable[..., tuple[int, Any]]


def _function(aws: LocalAws, role: str, code: str) -> str:
    package = io.BytesIO()
    with zipfile.ZipFile(package, "w") as archive:
        archive.writestr("code.py", code)
    name = f"f-{uuid.uuid4().hex[:8]}"
    client = aws.client("lambda")
    client.create_function(
        FunctionName=name, Runtime="python3.12", Handler="code.handle", Role=role, Code={"ZipFile": package.getvalue()}
    )
    active(client, name)
    client.add_permission(
        FunctionName=name, StatementId="api", Action="lambda:InvokeFunction", Principal="apigateway.amazonaws.com"
    )
    return f"arn:aws:apigateway:{REGION}:lambda:path/2015-03-31/functions/{function_arn(name)}/invocations"


@pytest.fixture(scope="module")
def get(aws: LocalAws) -> Get:
    """Call an API with the authorizer's key, with plans for `shop` and `small` (two calls a day)."""
    client, role = aws.client("apigateway"), new_role(aws, "keys")
    api = client.create_rest_api(name="keyed", apiKeySource="AUTHORIZER")["id"]
    root = client.get_resources(restApiId=api)["items"][0]["id"]
    authorizer = client.create_authorizer(
        restApiId=api,
        name="who",
        type="TOKEN",
        authorizerUri=_function(aws, role, AUTHORIZER),
        identitySource="method.request.header.Authorization",
        authorizerResultTtlInSeconds=60,
    )["id"]
    where = {"restApiId": api, "resourceId": root, "httpMethod": "GET"}
    client.put_method(**where, authorizationType="CUSTOM", authorizerId=authorizer, apiKeyRequired=True)
    client.put_integration(**where, type="AWS_PROXY", integrationHttpMethod="POST", uri=_function(aws, role, ECHO))
    client.create_deployment(restApiId=api, stageName="dev")
    for who, calls in (("shop", 1000), ("small", 2)):
        plan = client.create_usage_plan(
            name=who, apiStages=[{"apiId": api, "stage": "dev"}], quota={"limit": calls, "period": "DAY"}
        )
        key = client.create_api_key(name=who, value=f"the-key-of-the-merchant-{who}", enabled=True)
        client.create_usage_plan_key(usagePlanId=plan["id"], keyId=key["id"], keyType="API_KEY")
    trust = create_default_context(cafile=str(aws.ca_bundle))

    def ask(token: str, **headers: str) -> tuple[int, Any]:
        url = f"{aws.endpoint_url}/_aws/execute-api/{api}/dev/"
        request = urllib.request.Request(url, headers={"Authorization": token, **headers})  # noqa: S310 - our own https
        try:
            with urllib.request.urlopen(request, context=trust) as response:  # noqa: S310
                return response.status, json.load(response)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)

    return ask


def test_call_with_a_usage_plan_key_from_the_authorizer_goes_through(get: Get) -> None:
    # the second answer of the authorizer is from its cache
    assert [get("shop")[0] for _ in range(2)] == [200, 200]


def test_key_when_the_function_is_called_then_it_sees_the_context_alone(get: Get) -> None:
    assert [get("shop")[1] for _ in range(2)] == [{"principalId": "shop", "who": "shop"}] * 2


def test_key_when_the_caller_sends_one_then_it_is_not_looked_at(get: Get) -> None:
    assert get("keyless", **{"x-api-key": "the-key-of-the-merchant-shop"})[0] == 403
    assert get("stranger", **{"x-api-key": "the-key-of-the-merchant-shop"})[0] == 403


def test_quota_when_it_is_used_up_then_429_for_this_key_alone(get: Get) -> None:
    admitted = list(takewhile(lambda status: status == 200, (get("small")[0] for _ in range(5))))
    assert len(admitted) in (2, 3, 4)  # more than two if a day of UTC ends in between
    assert get("small")[0] == 429
    assert get("shop")[0] == 200


def test_usage_plan_without_quota_reports_none(aws: LocalAws) -> None:
    client = aws.client("apigateway")
    made = client.create_usage_plan(name="unlimited", throttle={"rateLimit": 5, "burstLimit": 10})

    assert "quota" not in made
    assert "quota" not in client.get_usage_plan(usagePlanId=made["id"])


def test_web_acl_created_and_changed_is_returned_completely(aws: LocalAws) -> None:
    client: Any = aws.client("wafv2")
    seen = {"SampledRequestsEnabled": True, "CloudWatchMetricsEnabled": True, "MetricName": "m"}
    asked: dict[str, Any] = {
        "Name": "acl",
        "DefaultAction": {"Allow": {}},
        "VisibilityConfig": seen,
        "CustomResponseBodies": {"late": {"ContentType": "TEXT_PLAIN", "Content": "wait"}},
        "DataProtectionConfig": {
            "DataProtections": [{"Field": {"FieldType": "QUERY_STRING"}, "Action": "SUBSTITUTION"}]
        },
        "AssociationConfig": {"RequestBody": {"API_GATEWAY": {"DefaultSizeInspectionLimit": "KB_64"}}},
    }
    made = client.create_web_acl(**asked, Scope="REGIONAL")["Summary"]
    same = {"Name": "acl", "Scope": "REGIONAL", "Id": made["Id"]}
    returned = client.get_web_acl(**same)

    assert {name: returned["WebACL"][name] for name in asked} == asked

    asked["CustomResponseBodies"]["late"]["Content"] = "wait longer"
    client.update_web_acl(**asked, Scope="REGIONAL", Id=made["Id"], LockToken=returned["LockToken"])
    assert client.get_web_acl(**same)["WebACL"]["CustomResponseBodies"] == asked["CustomResponseBodies"]
