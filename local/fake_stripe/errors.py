"""Stripe's error answers (docs.stripe.com/api/errors), with the exact texts where a program may read them."""

from collections.abc import Mapping
from typing import Any


class ApiError(Exception):
    """An error answer: the HTTP `status` and the fields of Stripe's `error` object. Empty fields are left out."""

    def __init__(self, status: int, message: str, *, headers: Mapping[str, str] | None = None, **fields: Any) -> None:
        self.status = status
        self.headers = dict(headers or {})
        given = {"type": "invalid_request_error", "message": message} | fields
        self.body = {"error": {name: value for name, value in given.items() if value}}
        super().__init__(message)


def invalid(message: str, *, param: str = "", code: str = "") -> ApiError:
    """400: a parameter fails validation, and nothing was executed."""
    return ApiError(400, message, param=param, code=code)


def no_such(kind: str, object_id: str, *, param: str = "intent", status: int = 404) -> ApiError:
    """404 for an object in the path, 400 for one named in a parameter."""
    return ApiError(status, f"No such {kind}: '{object_id}'", code="resource_missing", param=param)


def unauthorized(key: str) -> ApiError:
    """401: no key, or an unknown key. The message shows only as much of the key as Stripe does."""
    if not key:
        return ApiError(401, "You did not provide an API key.")
    return ApiError(401, f"Invalid API Key provided: {key[:8]}********")


def rate_limited(retry_after_seconds: int) -> ApiError:
    """429, raised before the idempotency layer: the same key may be used again."""
    return ApiError(
        429,
        "Request rate limit exceeded.",
        code="rate_limit",
        headers={"Retry-After": str(retry_after_seconds), "Stripe-Rate-Limited-Reason": "global-rate"},
    )


def key_in_use(key: str) -> ApiError:
    """409: a request with the same idempotency key is in progress."""
    return ApiError(
        409,
        f"There is currently another in-progress request using this Idempotent Key: {key}. Please try again later.",
        code="idempotency_key_in_use",
        headers={"Stripe-Should-Retry": "true"},
    )


def key_reused(key: str) -> ApiError:
    """400: the idempotency key was first used with other parameters."""
    return ApiError(
        400,
        "Keys for idempotent requests can only be used with the same parameters they were first used with. "
        f"Try using a key other than '{key}' if you meant to execute a different request.",
        type="idempotency_error",
    )


def server_error() -> ApiError:
    """500, stored under the idempotency key like every answer after execution has started."""
    return ApiError(
        500,
        "An unknown error occurred",
        type="api_error",
        headers={"Stripe-Should-Retry": "false"},
    )
