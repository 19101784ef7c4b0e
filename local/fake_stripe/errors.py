"""Stripe's error answers (docs.stripe.com/api/errors), with the exact texts where a program may read them."""

from collections.abc import Mapping
from typing import Any


class ApiError(Exception):
    """An error answer: the HTTP `status` and the fields of Stripe's `error` object. Empty fields are left out.

    `begun` is true if the execution had begun: the answer is then stored under the idempotency key, as every 402 is.
    """

    def __init__(
        self, status: int, message: str, *, begun: bool = False, headers: Mapping[str, str] | None = None, **fields: Any
    ) -> None:
        self.status = status
        self.begun = begun or status == 402
        self.headers = dict(headers or {})
        given = {"type": "invalid_request_error", "message": message} | fields
        self.body = {"error": {name: value for name, value in given.items() if value}}
        super().__init__(message)


def invalid(message: str, *, param: str = "", code: str = "", begun: bool = False) -> ApiError:
    """400: a parameter fails validation, and nothing was executed, or the execution had `begun`."""
    return ApiError(400, message, begun=begun, param=param, code=code)


def no_such(kind: str, object_id: str, *, param: str, status: int = 404, live: bool = False) -> ApiError:
    """404 for an object in the path, 400 for one named in a parameter. `live`: it exists in live mode."""
    message = f"No such {kind}: '{object_id}'"
    if live:
        message += "; a similar object exists in live mode, but a test mode key was used to make this request."
    return ApiError(status, message, code="resource_missing", param=param)


def unauthorized(key: str) -> ApiError:
    """401: no key, an unknown one, or a publishable one. The message shows only as much of it as Stripe does."""
    if not key:
        return ApiError(401, "You did not provide an API key.")
    if key.startswith("pk_"):
        return ApiError(
            401,
            "This API call cannot be made with a publishable API key. Please use a secret API key.",
            code="secret_key_required",
        )
    return ApiError(401, f"Invalid API Key provided: {key[:8]}********")


def rate_limited(retry_after_seconds: int = 0, reason: str = "global-rate") -> ApiError:
    """429, raised before the idempotency layer: the same key may be used again. 0 sends no `Retry-After`."""
    headers = {"Stripe-Rate-Limited-Reason": reason}
    if retry_after_seconds:
        headers["Retry-After"] = str(retry_after_seconds)
    return ApiError(429, "Request rate limit exceeded.", code="rate_limit", headers=headers)


REFUSED = {
    "account_invalid": (403, "The provided key does not have access to this account, or it does not exist."),
    "api_key_expired": (401, "Expired API Key provided."),
    "capability_not_active": (400, "Your account does not have the card_payments capability."),
    "country_unsupported": (400, "Your account's country is not supported for this request."),
    "lock_timeout": (429, "This object cannot be accessed right now because another API request is accessing it."),
    "permission": (403, "The provided key does not have the required permissions for this endpoint."),
    "platform_api_key_expired": (401, "The API key provided by your Connect platform has expired."),
    "testmode_charges_only": (400, "Your account cannot currently make live charges."),
}
"""Refusals that are not about a parameter, by their code: the status and the text. `permission` is sent without a code.
Which status the codes of an account have is documented for some of them only."""


def refused(code: str) -> ApiError:
    """A refusal of our key, our account, or of two requests for one object. Nothing was executed."""
    status, message = REFUSED[code]
    return ApiError(status, message, code="" if code == "permission" else code)


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


def key_too_long() -> ApiError:
    """400: an idempotency key has at most 255 characters."""
    return ApiError(400, "Idempotency keys cannot be longer than 255 characters.", type="idempotency_error")


def server_error() -> ApiError:
    """500, stored under the idempotency key like every answer after execution has started."""
    return ApiError(
        500,
        "An unknown error occurred",
        type="api_error",
        headers={"Stripe-Should-Retry": "false"},
    )
