"""The functions' socket accepts a role session by its key and token. The TLS port still verifies signatures."""

import json
import socket
import ssl
from typing import Any, NamedTuple

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from local.ministack.server import REGION, LocalAws
from tests.local.ministack.conftest import Invoke, change_role, new_function, new_role

CONSTANT = "0" * 64
WRONG = "The security token included in the request is invalid"


class Answer(NamedTuple):
    """An answer as it came: its head's fields in lower case, and its body."""

    status: int
    fields: dict[str, str]
    body: Any


class Session:
    """A role session, and the requests that its owner may send."""

    def __init__(self, aws: LocalAws, keys: Credentials) -> None:
        self.aws = aws
        self.keys = keys

    def signed(self, body: dict[str, Any], target: str) -> dict[str, str]:
        """The headers of a request to a JSON service, with its real signature."""
        service, version = ("dynamodb", "1.0") if target.startswith("DynamoDB") else ("kms", "1.1")
        headers = {"X-Amz-Target": target, "Content-Type": f"application/x-amz-json-{version}"}
        headers["Host"] = f"127.0.0.1:{self.aws.port}"
        request = AWSRequest("POST", self.aws.endpoint_url + "/", headers, json.dumps(body))
        SigV4Auth(self.keys, service, REGION).add_auth(request)
        return dict(request.headers.items())

    def unsigned(self, body: dict[str, Any], target: str) -> dict[str, str]:
        """The same with a constant signature and no date."""
        headers = self.signed(body, target)
        headers["Authorization"] = headers["Authorization"].partition("Signature=")[0] + f"Signature={CONSTANT}"
        del headers["X-Amz-Date"]
        return headers

    def ask(self, headers: dict[str, str], body: dict[str, Any], *, over_tls: bool = False) -> Answer:
        data = json.dumps(body).encode()
        head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        wire = f"POST / HTTP/1.1\r\n{head}Content-Length: {len(data)}\r\n\r\n".encode() + data
        with self._connection(over_tls) as connection:
            connection.sendall(wire)
            received = b""
            while b"\r\n\r\n" not in received:
                received += connection.recv(65536)
            first, _, content = received.partition(b"\r\n\r\n")
            status, *lines = first.decode().split("\r\n")
            fields = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
            while len(content) < int(fields["content-length"]):
                content += connection.recv(65536)
        return Answer(int(status.split()[1]), fields, json.loads(content))

    def _connection(self, over_tls: bool) -> socket.socket:
        if over_tls:
            trust = ssl.create_default_context(cafile=str(self.aws.ca_bundle))
            plain = socket.create_connection(("127.0.0.1", self.aws.port), 10)
            return trust.wrap_socket(plain, server_hostname="127.0.0.1")
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(10)
        connection.connect(str(self.aws.directory / "tmp" / "aws.sock"))
        return connection


@pytest.fixture(scope="module")
def table(aws: LocalAws) -> str:
    aws.client("dynamodb").create_table(
        TableName="asked",
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    return "asked"


@pytest.fixture(scope="module")
def session(aws: LocalAws, invoke: Invoke) -> Session:
    """The session of a function, which may only read and write items."""
    role = new_role(aws, "socket-user", ["dynamodb:GetItem", "dynamodb:PutItem"])
    variables = invoke(new_function(aws, role), environment=True)
    names = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
    return Session(aws, Credentials(*(variables[name] for name in names)))


@pytest.fixture(scope="module")
def assumed(aws: LocalAws, session: Session) -> Session:
    """A session of the same role that expires, as of an operator."""
    keys = aws.client("sts").assume_role(
        RoleArn="arn:aws:iam::000000000000:role/socket-user", RoleSessionName="person"
    )["Credentials"]
    return Session(aws, Credentials(keys["AccessKeyId"], keys["SecretAccessKey"], keys["SessionToken"]))


@pytest.mark.parametrize("who", ["session", "assumed"])
def test_socket_answers_a_request_with_and_without_its_signature_alike(
    table: str, who: str, request: pytest.FixtureRequest
) -> None:
    asker: Session = request.getfixturevalue(who)
    put = {"TableName": table, "Item": {"id": {"S": "naïve"}, "n": {"N": "1.50"}}}
    get = {"TableName": table, "Key": {"id": {"S": "naïve"}}}
    target = "DynamoDB_20120810."
    assert asker.ask(asker.unsigned(put, target + "PutItem"), put).body == {}
    answers = [
        asker.ask(asker.signed(get, target + "GetItem"), get),
        asker.ask(asker.unsigned(get, target + "GetItem"), get),
        asker.ask(asker.signed(get, target + "GetItem"), get, over_tls=True),
    ]
    assert [answer.body for answer in answers] == [{"Item": {"id": {"S": "naïve"}, "n": {"N": "1.5"}}}] * 3
    assert [answer.status for answer in answers] == [200] * 3
    fields = [
        answer.fields | dict.fromkeys(("x-amzn-requestid", "x-amz-request-id", "x-amz-id-2", "date"), "")
        for answer in answers
    ]
    assert fields[0] == fields[1] == fields[2]


def test_tls_port_refuses_a_constant_signature(session: Session, table: str) -> None:
    get = {"TableName": table, "Key": {"id": {"S": "a"}}}
    target = "DynamoDB_20120810.GetItem"
    headers = session.unsigned(get, target) | {"X-Amz-Date": session.signed(get, target)["X-Amz-Date"]}
    answer = session.ask(headers, get, over_tls=True)
    assert answer.status >= 400
    assert "signature we calculated does not match" in answer.body["message"]


@pytest.mark.parametrize("who", ["session", "assumed"])
@pytest.mark.parametrize("token", ["", "another"])
def test_socket_refuses_a_key_without_its_session_token(
    table: str, who: str, token: str, request: pytest.FixtureRequest
) -> None:
    asker: Session = request.getfixturevalue(who)
    get = {"TableName": table, "Key": {"id": {"S": "a"}}}
    headers = asker.unsigned(get, "DynamoDB_20120810.GetItem") | {"X-Amz-Security-Token": token}
    answer = asker.ask(headers, get)
    assert answer.status >= 400
    assert answer.body["message"].startswith(WRONG)


def test_socket_refuses_an_unknown_key(session: Session, table: str) -> None:
    get = {"TableName": table, "Key": {"id": {"S": "a"}}}
    headers = session.unsigned(get, "DynamoDB_20120810.GetItem")
    key = session.keys.access_key
    headers["Authorization"] = headers["Authorization"].replace(key, key[::-1])
    assert session.ask(headers, get).body["message"].startswith(WRONG)


def test_socket_holds_a_role_to_its_policy_and_to_changes_of_it(aws: LocalAws, session: Session, table: str) -> None:
    get = {"TableName": table, "Key": {"id": {"S": "a"}}}
    headers = session.unsigned(get, "DynamoDB_20120810.GetItem")
    assert session.ask(headers, get).status == 200
    change_role(aws, "socket-user", "dynamodb:PutItem")
    try:
        refused = session.ask(headers, get)
        assert refused.status >= 400
        assert refused.body["__type"].endswith("AccessDeniedException")
        assert "socket-user" in refused.body["message" if "message" in refused.body else "Message"]
    finally:
        change_role(aws, "socket-user", ["dynamodb:GetItem", "dynamodb:PutItem"])
    assert session.ask(headers, get).status == 200
