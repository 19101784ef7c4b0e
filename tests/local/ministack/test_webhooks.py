"""An unsigned route beside a signed one: what the client sent reaches the function byte for byte."""

import base64
import contextlib
import http.client
import json
from ssl import create_default_context
from typing import Any

import pytest

from local.ministack.server import LocalAws
from tests.local.ministack.conftest import Deploy, function_arn

BINARY = "application/octet-stream"
BODY = '{"id": "evt_1", "name": "Zoë 💳", "spaces":  "kept"}\r\n\n'.encode()
SIGNATURE = "t=1,v1=0a"
NOT_UTF_8 = b"\xff\xfe\x00\n"

type Sent = tuple[int, dict[str, Any]]


class Api:
    """POST /webhooks accepts every request, POST /payments only signed ones. Both answer with their event."""

    def __init__(self, aws: LocalAws, function: str) -> None:
        client = aws.client("apigateway")
        api = client.create_rest_api(name="webhooks", binaryMediaTypes=[BINARY])["id"]
        root = client.get_resources(restApiId=api)["items"][0]["id"]
        uri = f"arn:aws:apigateway:us-east-1:lambda:path/2015-03-31/functions/{function_arn(function)}/invocations"
        for path, authorization in (("webhooks", "NONE"), ("payments", "AWS_IAM")):
            resource = client.create_resource(restApiId=api, parentId=root, pathPart=path)["id"]
            where = {"restApiId": api, "resourceId": resource, "httpMethod": "POST"}
            client.put_method(**where, authorizationType=authorization)
            client.put_integration(**where, type="AWS_PROXY", integrationHttpMethod="POST", uri=uri)
        client.create_deployment(restApiId=api, stageName="dev")
        self.arn = f"arn:aws:execute-api:us-east-1:000000000000:{api}"
        self._stage = f"/_aws/execute-api/{api}/dev"
        self._trust = create_default_context(cafile=str(aws.ca_bundle))
        self._port = aws.port

    def let(self, aws: LocalAws, function: str, source: str) -> None:
        """Allow only `source` below the API to call the function."""
        client, statement = aws.client("lambda"), {"FunctionName": function, "StatementId": "api"}
        with contextlib.suppress(client.exceptions.ResourceNotFoundException):
            client.remove_permission(**statement)
        client.add_permission(
            **statement,
            Action="lambda:InvokeFunction",
            Principal="apigateway.amazonaws.com",
            SourceArn=f"{self.arn}/{source}",
        )

    def post(self, path: str, body: bytes, *headers: tuple[str, str]) -> Sent:
        connection = http.client.HTTPSConnection("127.0.0.1", self._port, context=self._trust, timeout=30)
        connection.putrequest("POST", self._stage + path)
        for name, value in (*headers, ("Content-Length", str(len(body)))):
            connection.putheader(name, value)
        connection.endheaders(body)
        answer = connection.getresponse()
        try:
            return answer.status, json.load(answer)
        finally:
            connection.close()


@pytest.fixture(scope="module")
def api(aws: LocalAws, deploy: Deploy) -> Api:
    function = deploy()
    api = Api(aws, function)
    api.let(aws, function, "*/*")
    return api


def test_webhook_when_the_function_does_not_let_its_route_then_it_is_a_500(aws: LocalAws, deploy: Deploy) -> None:
    function = deploy()
    api = Api(aws, function)
    assert api.post("/webhooks", BODY) == (500, {"message": "Internal server error"})
    api.let(aws, function, "*/POST/payments")
    assert api.post("/webhooks", BODY)[0] == 500
    api.let(aws, function, "*/POST/webhooks")
    assert api.post("/webhooks", BODY)[0] == 200


def test_unsigned_webhook_passes_body_and_signature_header_as_sent(api: Api) -> None:
    status, event = api.post(
        "/webhooks", BODY, ("Content-Type", "application/json; charset=utf-8"), ("Stripe-Signature", SIGNATURE)
    )
    assert status == 200
    assert (event["body"].encode(), event["isBase64Encoded"]) == (BODY, False)
    assert event["headers"]["Stripe-Signature"] == SIGNATURE
    assert event["multiValueHeaders"]["Stripe-Signature"] == [SIGNATURE]
    assert not {"stripe-signature", "content-type"} & event["headers"].keys()


def test_webhook_header_sent_twice_keeps_both_values_and_the_last_counts(api: Api) -> None:
    _, event = api.post("/webhooks", BODY, ("Stripe-Signature", "t=1,v1=0a"), ("stripe-signature", "t=2,v1=0b"))
    assert event["headers"]["Stripe-Signature"] == "t=2,v1=0b"
    assert event["multiValueHeaders"]["Stripe-Signature"] == ["t=1,v1=0a", "t=2,v1=0b"]


@pytest.mark.parametrize("body", [BODY, NOT_UTF_8])
def test_webhook_when_its_type_is_binary_then_it_arrives_in_base64(api: Api, body: bytes) -> None:
    _, event = api.post("/webhooks", body, ("Content-Type", BINARY))
    assert (base64.b64decode(event["body"]), event["isBase64Encoded"]) == (body, True)


def test_unsigned_payment_is_refused_beside_the_open_webhook_route(api: Api) -> None:
    status, answer = api.post("/payments", BODY, ("Content-Type", "application/json"))
    assert (status, answer["message"]) == (403, "Missing Authentication Token")
