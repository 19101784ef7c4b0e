"""JSON and problem details (RFC 9457) over API Gateway's Lambda proxy integration."""

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from decimal import Decimal
from typing import Any

import simplejson

from payments.domain.payment import FieldError

MAX_BODY_BYTES = 64 * 1024

_TITLES = {
    "invalid-request": "Invalid request",
    "conflict": "Conflict with stored data",
    "not-found": "Not found",
    "wrong-method": "Method not allowed",
    "unauthorized": "Unauthorized",
    "forbidden": "Forbidden for your role",
    "invalid-signature": "Invalid signature",
    "unavailable": "Temporarily unavailable",
    "environment-closed": "Environment closed",
    "throttled": "Too many requests",
    "internal-error": "Internal error",
}
"""Kind of problem → title. `type` is `urn:problem:payment-api:<kind>`."""


class Problem(Exception):
    """A request that is rejected with problem details. `detail` says what is wrong and what to do.

    A `retry_after_seconds` above 0 is sent as the header Retry-After.
    """

    def __init__(
        self,
        status: int,
        kind: str,
        detail: str,
        errors: Sequence[FieldError] = (),
        *,
        retry_after_seconds: int = 0,
    ) -> None:
        self.status = status
        self.kind = kind
        self.detail = detail
        self.errors = errors
        self.retry_after_seconds = retry_after_seconds
        super().__init__(detail)


def answer(status: int, body: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> dict[str, Any]:
    """A proxy response with a JSON body. Decimals become numbers with all their digits."""
    return {
        "statusCode": status,
        "headers": {"Content-Type": "application/json", "Cache-Control": "no-store", **(headers or {})},
        "body": simplejson.dumps(body, use_decimal=True),
    }


def no_content() -> dict[str, Any]:
    """A proxy response 204, which has no body."""
    return {"statusCode": 204, "headers": {"Cache-Control": "no-store"}, "body": ""}


def problem_answer(problem: Problem, request_id: str) -> dict[str, Any]:
    """The proxy response of a problem."""
    body: dict[str, Any] = {
        "type": f"urn:problem:payment-api:{problem.kind}",
        "title": _TITLES[problem.kind],
        "status": problem.status,
        "detail": problem.detail,
        "instance": request_id,
    }
    if problem.errors:
        body["errors"] = [asdict(error) for error in problem.errors]
    headers = {"Content-Type": "application/problem+json"}
    if problem.status == 401:
        headers["WWW-Authenticate"] = "Bearer"  # a 401 must name the authentication scheme (RFC 9110, 15.5.2)
    if problem.retry_after_seconds:
        headers["Retry-After"] = str(problem.retry_after_seconds)
    return answer(problem.status, body, headers)


def raw_body(event: Mapping[str, Any]) -> bytes:
    """The request's body, exactly as it was sent. Raises Problem 400."""
    body = event.get("body") or ""
    try:
        return base64.b64decode(body, validate=True) if event.get("isBase64Encoded") else str(body).encode()
    except ValueError:
        raise Problem(400, "invalid-request", "the body does not match its encoding; send it again") from None


def has_header(event: Mapping[str, Any], name: str) -> bool:
    """True if the header was sent, even with an empty value."""
    return name.lower() in {sent.lower() for sent in event.get("headers") or {}}


def header(event: Mapping[str, Any], name: str) -> str:
    """A request header, in any capitalization of its name; "" if it was not sent."""
    headers = event.get("headers") or {}
    return next((str(value) for key, value in headers.items() if key.lower() == name.lower()), "")


def json_body(event: Mapping[str, Any]) -> dict[str, Any]:
    """The request's JSON object, with decimals as Decimal. Raises Problem 400 and 413."""
    body = event.get("body") or ""
    if len(body) > MAX_BODY_BYTES:
        raise Problem(413, "invalid-request", f"the body is larger than {MAX_BODY_BYTES} bytes; send less")
    try:
        content = json.loads(body, parse_float=_decimal, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        raise Problem(400, "invalid-request", "the body is not JSON; send a JSON object in braces") from None
    if not isinstance(content, dict):
        raise Problem(400, "invalid-request", "the body is not a JSON object; send an object in braces")
    return content


def _decimal(text: str) -> Decimal:
    """A number with a point or an exponent. Raises ValueError if a Decimal cannot hold it, as 1e9999999999999999999."""
    try:
        return Decimal(text)
    except ArithmeticError:  # decimal's errors are no ValueErrors
        raise ValueError(f"a number of {len(text)} characters") from None


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")
