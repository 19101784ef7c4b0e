"""The table from Stripe's errors to ours, for the answers that the stand-in does not give."""

from typing import Any

import pytest
import requests
import stripe
import urllib3.exceptions

from payments.adapters.stripe.gateway import charge_error, find_error
from payments.domain.errors import (
    Conflict,
    Declined,
    InvalidPayment,
    Misconfigured,
    NotSent,
    OutcomeUnknown,
    PaymentError,
    RateLimited,
    RequiresAction,
)

CARD_TEXT = "Your card 4242 4242 4242 4242 of jane@example.com was declined"


def body(**fields: Any) -> dict[str, Any]:
    return {"error": {"message": CARD_TEXT, **fields}}


def invalid(code: str, param: str = "") -> stripe.InvalidRequestError:
    return stripe.InvalidRequestError(CARD_TEXT, param, code, json_body=body(code=code))  # type: ignore[no-untyped-call]


def no_connection(cause: Exception | None) -> stripe.APIConnectionError:
    error = stripe.APIConnectionError(CARD_TEXT)  # type: ignore[no-untyped-call]
    error.__cause__ = cause
    return error


def card_error(**fields: Any) -> stripe.CardError:
    return stripe.CardError(CARD_TEXT, "", "", json_body=body(**fields))  # type: ignore[no-untyped-call]


KEY_IN_USE = body(code="idempotency_key_in_use")
REFUSED = urllib3.exceptions.NewConnectionError(None, "refused")  # type: ignore[arg-type]
ANSWERED_WITH: list[tuple[stripe.StripeError, type[PaymentError], str]] = [
    (card_error(code="card_declined"), Declined, "card_declined"),
    (
        card_error(code="card_declined", decline_code="do_not_honor"),
        Declined,
        "do_not_honor",
    ),
    (
        card_error(code="authentication_required"),
        RequiresAction,
        "authentication_required",
    ),
    (card_error(code="4242 4242"), Declined, "card_declined"),
    (stripe.RateLimitError(CARD_TEXT, json_body=body(code="lock_timeout")), RateLimited, "lock_timeout"),
    (stripe.AuthenticationError(CARD_TEXT), Misconfigured, "gateway_key_refused"),
    (stripe.AuthenticationError(CARD_TEXT, json_body=body(code="api_key_expired")), Misconfigured, "api_key_expired"),
    (stripe.PermissionError(CARD_TEXT), Misconfigured, "gateway_key_refused"),
    (stripe.IdempotencyError(CARD_TEXT), Conflict, "idempotency_error"),
    (invalid("amount_too_small", "amount"), InvalidPayment, "amount_too_small"),
    (invalid("amount_too_large", "amount"), InvalidPayment, "amount_too_large"),
    (invalid("amount_too_small"), InvalidPayment, "amount_too_small"),
    (invalid("amount_too_small", "line_items"), InvalidPayment, "amount_too_small"),  # never our account's fault
    (invalid("", "metadata[order]"), InvalidPayment, "request_refused"),
    (invalid("payment_method_unactivated"), InvalidPayment, "payment_method_unactivated"),
    (invalid("resource_missing", "payment_method"), Declined, "invalid_payment_method"),
    (invalid("account_invalid"), Misconfigured, "account_invalid"),
    (invalid("testmode_charges_only"), Misconfigured, "testmode_charges_only"),
    (invalid("parameter_unknown", "confirm"), Misconfigured, "parameter_unknown"),
    (invalid("", "payment_method_types"), Misconfigured, "request_refused"),
    (stripe.APIError(CARD_TEXT, http_status=500), OutcomeUnknown, "gateway_error"),
    (stripe.APIError(CARD_TEXT, http_status=409, json_body=KEY_IN_USE), OutcomeUnknown, "idempotency_key_in_use"),
    (stripe.APIError("<html>", http_body="<html>", http_status=200), OutcomeUnknown, "gateway_error"),
    (no_connection(requests.ConnectTimeout()), NotSent, "gateway_unreachable"),
    (
        no_connection(requests.ConnectionError(urllib3.exceptions.MaxRetryError(None, "/", REFUSED))),  # type: ignore[arg-type]
        NotSent,
        "gateway_unreachable",
    ),
    (no_connection(requests.ReadTimeout()), OutcomeUnknown, "no_answer"),
    (no_connection(requests.ConnectionError("Connection aborted.")), OutcomeUnknown, "no_answer"),
    (no_connection(requests.exceptions.SSLError()), OutcomeUnknown, "no_answer"),
    (no_connection(requests.exceptions.ChunkedEncodingError()), OutcomeUnknown, "no_answer"),
    (no_connection(None), OutcomeUnknown, "no_answer"),
]


@pytest.mark.parametrize(("error", "expected", "code"), ANSWERED_WITH)
def test_charge_error_maps_the_stripe_error_and_repeats_no_text(
    error: stripe.StripeError, expected: type[PaymentError], code: str
) -> None:
    problem = charge_error(error)
    assert (type(problem), problem.code) == (expected, code)
    assert "4242" not in str(problem)
    assert "jane" not in str(problem)


@pytest.mark.fault(59)
@pytest.mark.parametrize(
    ("code", "limit"), [("amount_too_small", "at least 0.50 EUR"), ("amount_too_large", "at most 999999.99 EUR")]
)
def test_charge_error_of_an_amount_outside_the_limits_names_the_limit(code: str, limit: str) -> None:
    problem = charge_error(invalid(code, "amount"), "EUR")
    assert type(problem) is InvalidPayment
    assert limit in problem.message


@pytest.mark.parametrize(
    ("header", "seconds"), [("7", 7), ("0", 0), ("", 0), ("-1", 0), ("Fri, 31 Dec 2027 23:59:59 GMT", 0)]
)
def test_charge_error_when_told_to_wait_then_hands_on_whole_seconds_only(header: str, seconds: int) -> None:
    error = stripe.RateLimitError(CARD_TEXT, headers={"Retry-After": header})
    assert charge_error(error).retry_after_seconds == seconds


def test_find_error_never_blames_the_payment_for_a_refused_search() -> None:
    assert type(find_error(invalid("resource_missing", "payment_method"))) is Misconfigured
    assert type(find_error(stripe.APIError(CARD_TEXT, http_status=500))) is OutcomeUnknown
