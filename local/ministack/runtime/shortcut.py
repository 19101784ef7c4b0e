"""Sends the functions' boto3 requests to the local AWS over a UNIX socket instead of its TLS port.

On one machine, both ends of TLS, urllib3 and http.client take half of the time of a small call. In botocore, a
`before-send` handler can answer a request: `send` is such a handler. Streamed answers (an S3 object, a function's
answer) still use TLS, as do all requests that do not come from a function.

A third of what remains is the signature. `create_request` leaves it out: no other user's program can open the socket.
The request names the function's credentials as a signed one does, so that the local AWS asks the function's role.
`resolve_endpoint` keeps the one address of the local AWS instead of computing it for each call.
"""

import os
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from botocore.awsrequest import AWSResponse
from botocore.client import BaseClient
from botocore.endpoint import Endpoint
from botocore.exceptions import ConnectionClosedError, EndpointConnectionError, ReadTimeoutError

SOCKET = "_LOCAL_AWS_SOCKET"
"""The environment variable that holds the socket's path."""
UNSIGNED = frozenset({"dynamodb", "kms", "secretsmanager", "sqs", "states"})
"""The services, by their names in signatures, whose requests are plain JSON and whose answers are never streamed."""
RECEIVE_BYTES = 65536
_ADDRESS = "_local_aws_address"
END_OF_HEAD = b"\r\n\r\n"

_create_request = Endpoint.create_request
_resolve_endpoint = BaseClient._resolve_endpoint_ruleset  # type: ignore[attr-defined]
_idle: list[socket.socket] = []
os.register_at_fork(after_in_child=_idle.clear)  # two processes must never read the answers of one connection
_lock = threading.Lock()


class UnsignedRequest(NamedTuple):
    """What `send` needs of a botocore request."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: str | bytes
    context: Mapping[str, Any]
    stream_output: bool = False

    def reset_stream(self) -> None:
        """Before a retry, botocore sets a streamed body back to its start. This body is no stream."""


def create_request(endpoint: Endpoint, params: dict[str, Any], operation_model: Any = None) -> Any:
    """Replaces `Endpoint.create_request`: it builds and signs the request of each attempt."""
    service = operation_model.service_model.signing_name if operation_model else ""
    if service not in UNSIGNED or not os.environ.get(SOCKET) or not isinstance(params["body"], str | bytes):
        return _create_request(endpoint, params, operation_model)
    region = params["context"]["client_region"]
    headers = params["headers"] | _credentials(f"{region}/{service}")
    return UnsignedRequest(params["method"], params["url"], headers, params["body"], params["context"])


def resolve_endpoint(client: BaseClient, operation_model: Any, *arguments: Any, **named: Any) -> Any:
    """Replaces `BaseClient._resolve_endpoint_ruleset`, whose result depends on the call at AWS only."""
    if operation_model.service_model.signing_name not in UNSIGNED or not os.environ.get(SOCKET):
        return _resolve_endpoint(client, operation_model, *arguments, **named)
    known = client.__dict__.get(_ADDRESS)
    if known is None:
        known = client.__dict__[_ADDRESS] = _resolve_endpoint(client, operation_model, *arguments, **named)
    return known


def _credentials(scope: str) -> dict[str, str]:
    """The headers of a signed request, with zeros as signature. A function's credentials are in its environment."""
    at = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    credential = f"{os.environ['AWS_ACCESS_KEY_ID']}/{at[:8]}/{scope}/aws4_request"
    signature = f"SignedHeaders=host;x-amz-date, Signature={'0' * 64}"
    return {
        "Authorization": f"AWS4-HMAC-SHA256 Credential={credential}, {signature}",
        "X-Amz-Date": at,
        "X-Amz-Security-Token": os.environ["AWS_SESSION_TOKEN"],
    }


def send(request: Any, **_: Any) -> AWSResponse | None:
    """Answer a prepared request. None if it must use TLS. Raises the same errors as botocore's own transport."""
    path = os.environ.get(SOCKET)
    if not path or request.stream_output or not isinstance(request.body, str | bytes | bytearray | None):
        return None
    wire = _as_sent(request)
    client = (getattr(request, "context", None) or {}).get("client_config")
    connection = _idle_one()
    reused = connection is not None
    connection = connection or _new(path, request.url)
    connection.settimeout(client.read_timeout if client else None)
    try:
        try:
            connection.sendall(wire)
            answer = _answer(connection, request.url, head_only=request.method == "HEAD")
        except (ConnectionError, EOFError):
            if not reused:
                raise
            connection.close()  # the other end closed it while it was idle: the request was not carried out
            connection = _new(path, request.url)
            connection.sendall(wire)
            answer = _answer(connection, request.url, head_only=request.method == "HEAD")
    except TimeoutError as late:
        connection.close()
        raise ReadTimeoutError(endpoint_url=request.url, error=late) from None
    except (OSError, EOFError) as broken:
        connection.close()
        raise ConnectionClosedError(endpoint_url=request.url, request=request, error=broken) from None
    with _lock:
        _idle.append(connection)
    return answer


def _as_sent(request: Any) -> bytes:
    address = urlsplit(request.url)
    target = (address.path or "/") + (f"?{address.query}" if address.query else "")
    body = request.body or b""
    body = body.encode() if isinstance(body, str) else bytes(body)
    headers = dict(request.headers.items()) | {"Host": address.netloc, "Content-Length": str(len(body))}
    lines = [f"{request.method} {target} HTTP/1.1".encode("ascii")]
    for name, value in headers.items():
        lines.append(name.encode("ascii") + b": " + (value if isinstance(value, bytes) else value.encode("latin-1")))
    return b"\r\n".join(lines) + END_OF_HEAD + body


def _idle_one() -> socket.socket | None:
    with _lock:
        return _idle.pop() if _idle else None


def _new(path: str, url: str) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.connect(path)
    except OSError as refused:
        connection.close()
        raise EndpointConnectionError(endpoint_url=url, error=refused) from None
    return connection


def _answer(connection: socket.socket, url: str, *, head_only: bool) -> AWSResponse:
    data = b""
    while (end := data.find(END_OF_HEAD)) < 0:
        piece = connection.recv(RECEIVE_BYTES)
        if not piece:
            raise EOFError("closed before it answered")
        data += piece
    status, *lines = data[:end].decode("latin-1").split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines)
    length = (
        0 if head_only else int(next((value for name, value in headers.items() if name.lower() == "content-length"), 0))
    )
    body = bytearray(data[end + len(END_OF_HEAD) :])
    while len(body) < length:
        piece = connection.recv(RECEIVE_BYTES)
        if not piece:
            raise OSError("closed in the middle of its answer")
        body += piece
    return AWSResponse(url, int(status.split()[1]), headers, _Read(bytes(body)))  # type: ignore[arg-type]


class _Read:
    """A body that was already read, with the interface that botocore uses."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def stream(self, *_: Any) -> Iterator[bytes]:
        yield self._data
