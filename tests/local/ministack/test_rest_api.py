"""A REST API checks bodies by their content type, and explains rejections in its gateway responses."""

import json
import urllib.error
import urllib.request
from collections.abc import Callable
from ssl import create_default_context
from typing import Any

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from local.ministack.server import REGION, LocalAws
from tests.local.ministack.conftest import change_role, new_role

NUMBER_OR_TEXT = [{"type": "number"}, {"type": "string", "pattern": "^[0-9]+$"}]
MODEL = {
    "type": "object",
    "required": ["amount", "currency"],
    "additionalProperties": False,
    "properties": {
        "amount": {"oneOf": NUMBER_OR_TEXT},
        "currency": {"type": "string", "pattern": "^[A-Z]{3}$"},
        "note": {"type": "string", "maxLength": 3},
        "metadata": {"type": "object", "maxProperties": 1, "additionalProperties": {"type": "string"}},
    },
}
VALID = {"amount": 1, "currency": "EUR"}
REFUSAL = '{"title": "refused", "detail": "$context.error.responseType: $context.error.validationErrorString"}'

type Answer = tuple[int, Any]
type Post = Callable[..., Answer]


@pytest.fixture(scope="module")
def api(aws: LocalAws) -> str:
    """The URL of an API with /open and /signed, both with the model. It answers {} to every accepted request."""
    client = aws.client("apigateway")
    api = client.create_rest_api(name="guarded")["id"]
    client.create_model(restApiId=api, name="Payment", contentType="application/json", schema=json.dumps(MODEL))
    validator = client.create_request_validator(restApiId=api, name="body", validateRequestBody=True)["id"]
    root = client.get_resources(restApiId=api)["items"][0]["id"]
    for path, authorization in (("open", "NONE"), ("signed", "AWS_IAM")):
        resource = client.create_resource(restApiId=api, parentId=root, pathPart=path)["id"]
        where = {"restApiId": api, "resourceId": resource, "httpMethod": "POST"}
        models = {"application/json": "Payment"}
        client.put_method(**where, authorizationType=authorization, requestValidatorId=validator, requestModels=models)
        client.put_integration(**where, type="MOCK")
    for kind in ("BAD_REQUEST_BODY", "DEFAULT_4XX"):
        client.put_gateway_response(restApiId=api, responseType=kind, responseTemplates={"application/json": REFUSAL})
    client.create_deployment(restApiId=api, stageName="dev")
    return f"{aws.endpoint_url}/_aws/execute-api/{api}/dev"


@pytest.fixture
def post(aws: LocalAws, api: str) -> Post:
    """POST a body. Returns the status and the JSON answer."""
    trust = create_default_context(cafile=str(aws.ca_bundle))

    def send(path: str, body: Any, *, content_type: str = "application/json", signer: Any = None) -> Answer:
        data = body if isinstance(body, str) else json.dumps(body)
        signed = AWSRequest("POST", api + path, {"Content-Type": content_type}, data)
        if signer:
            SigV4Auth(signer, "execute-api", REGION).add_auth(signed)
        request = urllib.request.Request(api + path, data.encode(), dict(signed.headers))  # noqa: S310
        try:
            with urllib.request.urlopen(request, context=trust) as response:  # noqa: S310 - our own https
                return response.status, json.load(response)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)

    return send


@pytest.mark.parametrize(
    ("body", "explanation"),
    [
        ({}, '[object has missing required properties (["amount","currency"])]'),
        ({**VALID, "x": 1}, '[object instance has properties which are not allowed by the schema: ["x"]]'),
        ({**VALID, "amount": "ten"}, "[instance failed to match exactly one schema (matched 0 out of 2)]"),
        ({**VALID, "currency": 'E"R'}, '[ECMA 262 regex "^[A-Z]{3}$" does not match input string "E"R"]'),
        ({**VALID, "note": "long"}, '[string "long" is too long (length: 4, maximum allowed: 3)]'),
        (
            {**VALID, "metadata": {"a": 1, "b": "2"}},
            "[object has too many properties (found 2 but schema requires at most 1), "
            'instance type (integer) does not match any allowed primitive type (allowed: ["string"])]',
        ),
        ("{", "[could not parse the body as JSON]"),
        ([], '[instance type (array) does not match any allowed primitive type (allowed: ["object"])]'),
    ],
)
def test_wrong_request_body_gets_a_json_answer_with_the_reason(post: Post, body: Any, explanation: str) -> None:
    status, answer = post("/open", body)
    assert (status, answer["detail"]) == (400, f"BAD_REQUEST_BODY: {explanation}")


def test_request_body_when_it_is_right_then_it_is_taken(post: Post) -> None:
    assert post("/open", VALID, content_type="application/json; charset=utf-8") == (200, {})


def test_request_body_of_a_type_without_model_is_not_checked(post: Post) -> None:
    assert post("/open", "{", content_type="text/csv")[0] == 200


def test_signed_request_without_permission_gets_the_gateway_response(aws: LocalAws, post: Post) -> None:
    role = new_role(aws, "caller", "sqs:SendMessage")
    session = aws.client("sts").assume_role(RoleArn=role, RoleSessionName="caller")["Credentials"]
    signer = Credentials(session["AccessKeyId"], session["SecretAccessKey"], session["SessionToken"])
    status, answer = post("/signed", VALID, signer=signer)
    assert (status, answer["title"]) == (403, "refused")
    assert answer["detail"].startswith("ACCESS_DENIED: User: arn:aws:sts::000000000000:assumed-role/caller/caller is ")
    change_role(aws, "caller", "execute-api:Invoke")
    assert post("/signed", VALID, signer=signer) == (200, {})
