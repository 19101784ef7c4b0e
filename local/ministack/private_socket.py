"""The server's end of the functions' UNIX socket, whose other end is runtime/shortcut.py.

Only processes of this user can open the socket. A request on it counts as secure (aws:SecureTransport), and is accepted
by its access key and session token: the signature may be any constant. Requests to the TLS port are verified in full.

A function sends one request at a time and reads one answer of known length, so a connection is a parser and a loop.
Requests to the JSON services take a short way: MiniStack compares each of its requests with thirty special hosts and
paths that a POST to / never matches. All others go through MiniStack's ASGI application.
"""

import asyncio
import functools
import http
import logging
import os
from collections import deque
from contextvars import ContextVar
from typing import Any, Final, NamedTuple
from urllib.parse import unquote

import httptools
from ministack import app
from ministack.core import iam_evaluator, responses, router
from ministack.core.sigv4 import decode_header_value
from ministack.services import iam, sts

from local.ministack.fixes.patching import wrap

log = logging.getLogger("local_aws.private_socket")

type Headers = list[tuple[bytes, bytes]]

SHORT_WAY: Final = ("AWSStepFunctions.", "AmazonSQS.", "DynamoDB_20120810.", "TrentService.", "secretsmanager.")
"""The targets of services whose requests are each one POST to / with an answer that does not stream."""
LONG_WAY: Final = frozenset({"content-encoding", "transfer-encoding", "x-amz-content-sha256", "expect"})
"""Headers whose meaning MiniStack's own application works out."""

SIGNED: Final = "AWS4-HMAC-SHA256 Credential="

_here: ContextVar[bool] = ContextVar("whether the request came over the socket", default=False)
_current: ContextVar["Caller | None"] = ContextVar("the known caller of the request", default=None)


def start() -> None:
    """Accept requests on the socket without a check of their signature."""
    wrap(iam_evaluator, "authenticate", _authenticate)
    wrap(iam_evaluator, "pin_request_caller", _pin)
    for service in (iam, sts):
        wrap(service, "handle_request", _forget_afterwards)


class Connection(asyncio.Protocol):
    """A function's connection. Answers its requests one after the other."""

    def __init__(self, host: str) -> None:
        self._host = host
        self._waiting: deque[tuple[str, bytes, Headers, bytes]] = deque()
        self._answering: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport
        self._parser = httptools.HttpRequestParser(self)

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self._transport.close()

    def connection_lost(self, _: Exception | None) -> None:
        self._waiting.clear()  # a request that runs is finished, as in AWS

    def on_message_begin(self) -> None:
        self._url = b""
        self._headers: Headers = []
        self._body: list[bytes] = []

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers.append((name, value))

    def on_body(self, piece: bytes) -> None:
        self._body.append(piece)

    def on_message_complete(self) -> None:
        method = self._parser.get_method().decode("ascii")
        self._waiting.append((method, self._url, self._headers, b"".join(self._body)))
        if self._answering is None:
            self._answering = asyncio.get_running_loop().create_task(self._answer_all())

    async def _answer_all(self) -> None:
        try:
            while self._waiting:
                method, url, headers, body = self._waiting.popleft()
                status, fields, content = await self._answer(method, url, headers, body)
                head = b"".join(name + b": " + value + b"\r\n" for name, value in fields)
                self._transport.write(_status_line(status) + head + b"\r\n" + (b"" if method == "HEAD" else content))
        finally:
            self._answering = None

    async def _answer(self, method: str, url: bytes, headers: Headers, body: bytes) -> tuple[int, Headers, bytes]:
        try:
            return await _answer(self._host, method, url, headers, body)
        except Exception:
            log.exception("%s %r failed", method, url)
            return 500, [(b"Content-Length", b"0")], b""


@functools.cache
def _status_line(status: int) -> bytes:
    return f"HTTP/1.1 {status} {http.HTTPStatus(status).phrase}\r\n".encode("ascii")


async def _answer(host: str, method: str, url: bytes, raw: Headers, body: bytes) -> tuple[int, Headers, bytes]:
    _here.set(True)
    headers = {name.decode("latin-1").lower(): decode_header_value(value) for name, value in raw}
    if (
        method == "POST"
        and url == b"/"
        and headers.get("host") == host
        and headers.get("x-amz-target", "").startswith(SHORT_WAY)
        and len(headers) == len(raw)
        and not LONG_WAY & headers.keys()
        and app.AUTH
        and not app._get_reset_lock().locked()
        and (caller := _caller(headers.get("authorization", ""), headers.get("x-amz-security-token", "")))
    ):
        return await _dispatch(caller, headers, body)
    return await _through_application(method, url, raw, body)


async def _dispatch(caller: "Caller", headers: dict[str, str], body: bytes) -> tuple[int, Headers, bytes]:
    """What `ministack.app.app` does with a signed request of an SDK to a JSON service."""
    headers.setdefault("x-forwarded-proto", "https")
    responses.set_request_client_ip("127.0.0.1")
    responses._request_account_id.set(caller.account)
    responses.set_request_region(caller.region)
    iam_evaluator.pin_request_origin("127.0.0.1", secure_transport=True)
    iam_evaluator._verified_key.set(caller.access_key)
    _current.set(caller)
    status, fields, content = await app._dispatch_service_request("POST", "/", headers, body, {}, _request_id())
    content = content if isinstance(content, bytes) else content.encode()
    fields["Content-Length"] = str(len(content))
    fields["date"] = app.formatdate(usegmt=True)
    return status, app._asgi_header_list(fields), content


def _request_id() -> str:
    """A random UUID like that of `uuid.uuid4`, in a fifth of its time."""
    digits = os.urandom(16).hex()
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-a{digits[17:20]}-{digits[20:]}"


async def _through_application(method: str, url: bytes, raw: Headers, body: bytes) -> tuple[int, Headers, bytes]:
    address = httptools.parse_url(url)
    scope = {
        "type": "http",
        "method": method,
        "path": unquote(address.path.decode("ascii")),
        "raw_path": address.path,
        "query_string": address.query or b"",
        "headers": raw,
        "scheme": "https",
        "client": None,
    }
    requests = [{"type": "http.request", "body": body, "more_body": False}]
    start: dict[str, Any] = {}
    content: list[bytes] = []

    async def receive() -> dict[str, Any]:
        return requests.pop() if requests else await asyncio.get_running_loop().create_future()

    async def send(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            start.update(message)
        else:
            content.append(message.get("body", b""))

    await app.app(scope, receive, send)
    whole = b"".join(content)
    fields = [(name, value) for name, value in start["headers"] if name.lower() != b"transfer-encoding"]
    if not any(name.lower() == b"content-length" for name, _ in fields):
        fields.append((b"Content-Length", str(len(whole)).encode()))
    return start["status"], fields, whole


class Caller(NamedTuple):
    """Who sends with an access key and its session token."""

    access_key: str
    account: str
    region: str
    arn: str
    session: dict[str, Any]


_callers: dict[tuple[str, str], Caller] = {}


def _caller(authorization: str, token: str) -> Caller | None:
    """The role session that sends. None if it is no such session, its token is wrong, or it can expire."""
    if not authorization.startswith(SIGNED):
        return None
    scope = authorization.partition(",")[0]
    known = _callers.get((scope, token))
    if known and sts._sessions.get(known.access_key) is known.session:
        return known
    headers = {"authorization": authorization}
    access_key = router.extract_access_key_id(headers)
    session, account = sts._sessions.get(access_key), responses._account_from_sts_session(access_key)
    if not session or not account or session.get("Expiration"):
        return None
    if not isinstance(iam_evaluator.resolve_credential(access_key, account, token), iam_evaluator.ResolvedCredential):
        return None
    caller = Caller(access_key, account, router.extract_region(headers), session["Arn"], session)
    _callers[scope, token] = caller
    return caller


async def _forget_afterwards(handle: Any, *request: Any) -> Any:
    try:
        return await handle(*request)
    finally:
        _callers.clear()


def _pin(pin: Any, headers: dict[str, str], query: Any = None) -> None:
    """`iam_evaluator.pin_request_caller`, without a search for a caller that is known."""
    if caller := _current.get():
        iam_evaluator._request_caller_arn.set(caller.arn)
    else:
        pin(headers, query)


def _authenticate(check: Any, access_key: str, account: str) -> Any:
    """`iam_evaluator.authenticate` without the signature and its time, for a request that has them in its header."""
    request = iam_evaluator._signed_request.get()
    if (
        not _here.get()
        or request is None
        or request.access_key_id != access_key
        or not access_key
        or request.unverifiable
        or request.sigv2
        or request.presigned
    ):
        return check(access_key, account)
    iam_evaluator._signed_request.set(None)
    token = request.headers.get("x-amz-security-token", "")
    account = responses._account_from_sts_session(access_key) or account
    found = iam_evaluator.resolve_credential(access_key, account, token)
    if isinstance(found, iam_evaluator.CredentialResolutionError):
        if found.code == "InvalidToken" and token:
            return iam_evaluator.AuthError(found.code, "The security token included in the request is invalid")
        if found.code == "InvalidToken":
            found = iam_evaluator._unknown_access_key()
        return iam_evaluator.AuthError(found.code, found.message)
    iam_evaluator._verified_key.set(access_key)
    return found
