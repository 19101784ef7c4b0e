"""Validation of request parameters that several operations share."""

import operator
from collections.abc import Callable
from typing import Any

from local.fake_stripe.errors import ApiError, invalid
from local.fake_stripe.forms import items

LIST = frozenset({"ending_before", "limit", "starting_after"})
SEARCH = frozenset({"limit", "page", "query"})
ONLY_WITH_CONFIRM = frozenset({"error_on_requires_action", "mandate", "mandate_data", "off_session", "return_url"})
_OF_CREATE = frozenset(
    {
        *ONLY_WITH_CONFIRM,
        "amount",
        "automatic_payment_methods",
        "capture_method",
        "confirm",
        "confirmation_method",
        "currency",
        "customer",
        "description",
        "metadata",
        "payment_method",
        "payment_method_data",
        "payment_method_options",
        "payment_method_types",
        "receipt_email",
        "setup_future_usage",
        "shipping",
        "statement_descriptor_suffix",
        "use_stripe_sdk",
    }
)
_BOOLEANS = ("confirm", "error_on_requires_action", "use_stripe_sdk")
_CHOICES = {
    "cancellation_reason": ("abandoned", "duplicate", "fraudulent", "requested_by_customer"),
    "capture_method": ("automatic", "automatic_async", "manual"),
    "confirmation_method": ("automatic",),
    "off_session": ("true", "false", "one_off", "recurring"),
    "reason": ("duplicate", "fraudulent", "requested_by_customer"),
    "setup_future_usage": ("off_session", "on_session"),
    "usage": ("off_session", "on_session"),
} | dict.fromkeys(_BOOLEANS, ("true", "false"))
_COMPARISONS = {"gt": operator.gt, "gte": operator.ge, "lt": operator.lt, "lte": operator.le}


def check_create(params: dict[str, Any]) -> None:
    """Raise ApiError for parameters of create that are unknown or missing, or that prevent a confirmation."""
    for name in ("amount", "currency"):
        if not params.get(name):
            raise invalid(f"Missing required param: {name}.", param=name, code="parameter_missing")
    check_names(params, _OF_CREATE)
    check_metadata(params)
    check_kinds(params)
    if params.get("confirm") != "true":
        check_not_confirming(params)
        return
    if not has_method(params):
        raise missing_payment_method()


def check_kinds(params: dict[str, Any]) -> None:
    """Raise ApiError if a request says in two ways which kinds of payment methods it accepts."""
    if {"automatic_payment_methods", "payment_method_types"} <= params.keys():
        raise invalid("You may only specify one of these parameters: automatic_payment_methods, payment_method_types.")


def automatic_payment_methods(params: dict[str, Any]) -> dict[str, Any] | None:
    """The kinds of payment methods that an intent accepts, if they are not listed. They may redirect by default."""
    if items(params.get("payment_method_types")):
        return None
    given = params.get("automatic_payment_methods")
    allowed = given.get("allow_redirects") if isinstance(given, dict) else None
    return {"enabled": True, "allow_redirects": allowed or "always"}


def check_return(intent: dict[str, Any], params: dict[str, Any]) -> None:
    """Raise ApiError for a confirmation that may redirect the customer, and does not say where to return to."""
    automatic = intent["automatic_payment_methods"]
    redirects = (
        automatic["allow_redirects"] != "never" if automatic else set(intent["payment_method_types"]) != {"card"}
    )
    if redirects and not params.get("return_url"):
        name = "PaymentIntent" if intent["object"] == "payment_intent" else "SetupIntent"
        raise invalid(
            f"This {name} is configured to accept payment methods enabled in your Dashboard. Because some of these "
            "payment methods might redirect your customer off of your page, you must provide a `return_url`. If you "
            "don't want to accept redirect-based payment methods, set `automatic_payment_methods[enabled]` to `true` "
            "and `automatic_payment_methods[allow_redirects]` to `never` when creating Setup Intents and Payment "
            "Intents."
        )


def check_not_confirming(params: dict[str, Any]) -> None:
    """Raise ApiError for parameters that only a confirmation has."""
    for name in sorted(ONLY_WITH_CONFIRM & params.keys()):
        raise invalid(f"`{name}` can only be set if `confirm` is true.", param=name)


def has_method(params: dict[str, Any]) -> bool:
    """True if a request names a payment method, or has the data of a new one."""
    return bool(params.get("payment_method") or params.get("payment_method_data"))


def return_url(params: dict[str, Any]) -> str:
    """Where the customer returns to after 3-D Secure. Stripe.js may handle the action itself: then nowhere."""
    return "" if params.get("use_stripe_sdk") == "true" else str(params.get("return_url", ""))


def off_session(params: dict[str, Any]) -> bool:
    """True if the customer is absent."""
    return str(params.get("off_session", "false")) != "false"


def check_names(params: dict[str, Any], known: frozenset[str] = frozenset()) -> None:
    """Raise ApiError for a parameter that an operation does not know, or with a value that it cannot have.

    Every operation knows `expand`.
    """
    for name, value in params.items():
        if name not in known and name != "expand":
            raise invalid(f"Received unknown parameter: {name[:40]}", param=name, code="parameter_unknown")
        if name in _CHOICES and value not in _CHOICES[name]:
            raise invalid(f"Invalid {name}: must be one of {', '.join(_CHOICES[name])}", param=name)


def check_metadata(params: dict[str, Any]) -> None:
    """Raise ApiError for metadata that is not a flat object within Stripe's limits."""
    metadata = params.get("metadata") or {}
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise invalid("Invalid metadata: values must be strings", param="metadata")
    if len(metadata) > 50 or any(len(key) > 40 or len(value) > 500 for key, value in metadata.items()):
        raise invalid("Metadata has at most 50 keys of 40 and values of 500 characters", param="metadata")


def missing_payment_method(intent: dict[str, Any] | None = None) -> ApiError:
    """400: a confirmed intent has no payment method. `intent` is the payment intent, once it is stored."""
    return ApiError(
        400,
        "You cannot confirm this PaymentIntent because it's missing a payment method. You can either update the "
        "PaymentIntent with a payment method and then confirm it again, or confirm it again directly with a payment "
        "method or ConfirmationToken.",
        begun=intent is not None,
        code="payment_intent_unexpected_state",
        payment_intent=dict(intent or {}),
    )


def payment_method_types(params: dict[str, Any]) -> list[str]:
    """The accepted types of payment method."""
    return items(params.get("payment_method_types")) or ["card"]


def limit(params: dict[str, Any]) -> int:
    """The length of a page: 1 to 100, default 10. Raises ApiError."""
    return _number(params, "limit", 10, range(1, 101))


def page(params: dict[str, Any]) -> int:
    """The start of a page of search results: the `next_page` of the previous answer. Raises ApiError."""
    return _number(params, "page", 0, range(10**6))


def _number(params: dict[str, Any], name: str, default: int, allowed: range) -> int:
    text = str(params.get(name, default))
    if not text.isdecimal() or int(text) not in allowed:
        raise invalid(f"Invalid {name}: {text[:20]}", param=name, code="parameter_invalid_integer")
    return int(text)


def created_filter(params: dict[str, Any]) -> Callable[[int], bool]:
    """A predicate for `created` in Unix seconds, from `created=…`, `created[gte]=…` and similar. Raises ApiError."""
    wanted = params.get("created")
    bounds = wanted if isinstance(wanted, dict) else {"gte": wanted, "lte": wanted} if wanted else {}
    if not all(name in _COMPARISONS and str(value).isdigit() for name, value in bounds.items()):
        raise invalid("Invalid created: give Unix seconds", param="created", code="parameter_invalid_integer")
    tests = [(_COMPARISONS[name], int(value)) for name, value in bounds.items()]
    return lambda created: all(compare(created, bound) for compare, bound in tests)
