"""The table from Stripe's errors to ours, a line for each row and more, with the SDK's own exceptions in between."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from unittest.mock import patch

import pytest
import requests
import stripe
import urllib3.exceptions

from payments.adapters.stripe.errors import NEVER_LEFT, NO_ANSWER, ROWS, Answer, Call, Row, payment_error, row_of
from payments.adapters.stripe.gateway import StripeGateway
from payments.adapters.stripe.refunds import StripeRefunds
from payments.adapters.stripe.saved_methods import StripeSavedMethods
from payments.domain.errors import (
    AttemptDeclined,
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
from payments.domain.money import Money
from payments.ports.payment_gateway import ChargeRequest
from payments.ports.refund_gateway import RefundOrder

TEXT = "Your card 4242 4242 4242 4242 of jane@example.com was declined; pm_1Secret"
"""A text of Stripe's with everything that an error of ours must not repeat."""


@dataclass(frozen=True)
class Line:
    """An answer of Stripe to a call, and what it means."""

    call: Call
    status: int
    error: type[PaymentError]
    code: str
    fields: dict[str, str] = field(default_factory=dict)
    type: str = "invalid_request_error"

    def __str__(self) -> str:
        given = "-".join(self.fields.values())
        return f"{self.call}-{self.status}-{self.type}-{given or 'no-code'}"


def charge(status: int, error: type[PaymentError], code: str, /, *, type: str = "", **fields: str) -> Line:
    return Line(Call.CHARGE, status, error, code, fields, type or "invalid_request_error")


def retrieve(status: int, error: type[PaymentError], code: str, /, **fields: str) -> Line:
    return Line(Call.RETRIEVE, status, error, code, fields)


def search(status: int, error: type[PaymentError], code: str, /, **fields: str) -> Line:
    return Line(Call.SEARCH, status, error, code, fields)


def cancel(status: int, error: type[PaymentError], code: str, /, **fields: str) -> Line:
    return Line(Call.CANCEL, status, error, code, fields)


CARDS = [
    charge(402, AttemptDeclined, "card_declined", type="card_error"),
    charge(402, AttemptDeclined, "expired_card", type="card_error", code="expired_card"),
    charge(402, AttemptDeclined, "do_not_honor", type="card_error", code="card_declined", decline_code="do_not_honor"),
    charge(402, AttemptDeclined, "some_new_code", code="some_new_code"),
    charge(402, AttemptDeclined, "card_declined", type="card_error", code="4242 4242"),
    charge(402, RequiresAction, "authentication_required", type="card_error", code="authentication_required"),
]
ONE_OBJECT = [
    retrieve(404, OutcomeUnknown, "charge_not_found", code="resource_missing", param="intent"),
    retrieve(400, OutcomeUnknown, "charge_not_found", code="livemode_mismatch"),
    retrieve(404, OutcomeUnknown, "gateway_error"),
    retrieve(400, OutcomeUnknown, "some_new_code", code="some_new_code", param="some_parameter"),
    cancel(404, OutcomeUnknown, "charge_not_found", code="resource_missing", param="intent"),
    cancel(400, OutcomeUnknown, "some_new_code", code="some_new_code"),
    charge(400, Declined, "invalid_payment_method", code="resource_missing", param="payment_method"),
    charge(404, Declined, "invalid_payment_method", code="resource_missing", param="payment_method"),
    charge(400, Declined, "invalid_payment_method", code="livemode_mismatch", param="payment_method"),
]
CONTENT = [
    charge(400, InvalidPayment, "amount_too_small", code="amount_too_small", param="amount"),
    charge(400, InvalidPayment, "amount_too_large", code="amount_too_large", param="amount"),
    charge(400, InvalidPayment, "amount_too_small", code="amount_too_small"),
    # never a fault of our account
    charge(400, InvalidPayment, "amount_too_small", code="amount_too_small", param="payment_method_types"),
    charge(400, InvalidPayment, "request_refused", param="metadata[order]"),
    charge(400, InvalidPayment, "request_refused", param="description"),
    charge(400, InvalidPayment, "payment_method_unactivated", code="payment_method_unactivated"),
    charge(400, InvalidPayment, "payment_intent_unexpected_state", code="payment_intent_unexpected_state"),
    charge(400, InvalidPayment, "account_closed", code="account_closed"),
    charge(400, InvalidPayment, "account_number_invalid", code="account_number_invalid", param="payment_method"),
    charge(
        400,
        InvalidPayment,
        "payment_intent_incompatible_payment_method",
        code="payment_intent_incompatible_payment_method",
        param="payment_method_types",
    ),
]
SAVED_CARDS = [
    # attached, and the request names no customer: as recorded on /confirm, and as it may look on create
    charge(400, InvalidPayment, "customer_mismatch", code="parameter_missing", param="source"),
    charge(400, InvalidPayment, "customer_mismatch", code="parameter_missing", param="customer"),
    # used once without a customer, or detached
    charge(400, InvalidPayment, "request_refused"),
    charge(400, InvalidPayment, "payment_method_unexpected_state", code="payment_method_unexpected_state"),
    # another customer's
    charge(400, InvalidPayment, "payment_method_refused", param="payment_method"),
    # a customer of another environment
    charge(400, InvalidPayment, "unknown_customer", code="resource_missing", param="customer"),
    charge(404, InvalidPayment, "unknown_customer", code="livemode_mismatch", param="customer"),
    charge(
        400,
        InvalidPayment,
        "payment_method_currency_mismatch",
        code="payment_method_currency_mismatch",
        param="payment_method",
    ),
]
SAVING = [
    Line(Call.START_SETUP, 400, InvalidPayment, "unknown_customer", {"code": "resource_missing", "param": "customer"}),
    Line(Call.LIST_METHODS, 404, InvalidPayment, "unknown_customer", {"code": "resource_missing", "param": "customer"}),
    Line(Call.CREATE_CUSTOMER, 400, OutcomeUnknown, "gateway_error"),
    Line(Call.START_SETUP, 400, OutcomeUnknown, "some_new_code", {"code": "some_new_code"}),
]
REFUNDING = [
    Line(Call.REFUND, 400, InvalidPayment, "refunded_already", {"code": "charge_already_refunded"}),
    Line(Call.REFUND, 400, InvalidPayment, "disputed", {"code": "charge_disputed"}),
    Line(Call.REFUND, 400, InvalidPayment, "disputed", {"code": "refund_disputed_payment"}),
    Line(Call.REFUND, 400, InvalidPayment, "more_than_left", {"param": "amount"}),
    Line(Call.REFUND, 400, InvalidPayment, "refund_refused"),
    Line(Call.REFUND, 400, OutcomeUnknown, "charge_not_found", {"code": "resource_missing", "param": "payment_intent"}),
    Line(Call.REFUND, 400, Conflict, "idempotency_error", type="idempotency_error"),
    Line(Call.REFUND, 409, OutcomeUnknown, "idempotency_key_in_use", {"code": "idempotency_key_in_use"}),
    Line(Call.RETRIEVE_REFUND, 404, OutcomeUnknown, "refund_not_found", {"code": "resource_missing", "param": "id"}),
    Line(Call.LIST_REFUNDS, 400, OutcomeUnknown, "charge_not_found", {"code": "resource_missing"}),
    Line(Call.LIST_REFUNDS, 400, OutcomeUnknown, "gateway_error"),
]
GONE = [
    Line(Call.DETACH, 400, InvalidPayment, "not_attached"),
    Line(Call.DETACH, 404, InvalidPayment, "not_attached", {"code": "resource_missing", "param": "payment_method"}),
    Line(Call.DELETE_CUSTOMER, 404, InvalidPayment, "unknown_customer", {"code": "resource_missing", "param": "id"}),
]
SUSPICIOUS = [
    charge(400, InvalidPayment, "some_new_code", code="some_new_code", param="some_parameter"),
    charge(400, InvalidPayment, "request_refused", param="some_parameter"),
    charge(404, OutcomeUnknown, "gateway_error"),
    charge(409, OutcomeUnknown, "some_new_code", code="some_new_code"),
    charge(418, OutcomeUnknown, "gateway_error"),
    search(400, OutcomeUnknown, "search_refused"),
    search(400, OutcomeUnknown, "parameter_invalid", code="parameter_invalid", param="query"),
    search(404, OutcomeUnknown, "gateway_error"),
    search(402, OutcomeUnknown, "gateway_error"),
    Line(Call.LIST, 400, OutcomeUnknown, "gateway_error"),
    Line(Call.LIST, 404, OutcomeUnknown, "gateway_error"),
]
ACCOUNT = [
    *(
        Line(call, status, Misconfigured, code, {"code": code} if code != "gateway_key_refused" else {})
        for call in Call
        for status, code in (
            (401, "gateway_key_refused"),
            (401, "api_key_expired"),
            (401, "platform_api_key_expired"),
            (403, "gateway_key_refused"),
            (403, "account_invalid"),
            (400, "account_invalid"),
            (403, "some_new_code"),
        )
    ),
    # the status is not documented
    *(
        charge(status, Misconfigured, "testmode_charges_only", code="testmode_charges_only")
        for status in (400, 402, 403)
    ),
    charge(402, Misconfigured, "testmode_charges_only", type="card_error", code="testmode_charges_only"),
    charge(400, Misconfigured, "capability_not_active", code="capability_not_active"),
    charge(400, Misconfigured, "country_unsupported", code="country_unsupported"),
    charge(400, Misconfigured, "livemode_mismatch", code="livemode_mismatch"),
    charge(400, Misconfigured, "platform_account_required", code="platform_account_required"),
    charge(400, Misconfigured, "parameter_unknown", code="parameter_unknown", param="confirm"),
    charge(400, Misconfigured, "request_refused", param="payment_method_types"),
]
TWO_AT_ONCE = [
    charge(400, Conflict, "idempotency_error", type="idempotency_error"),
    *(
        charge(409, OutcomeUnknown, "idempotency_key_in_use", type=type, code="idempotency_key_in_use")
        for type in ("invalid_request_error", "idempotency_error", "api_error")
    ),
    charge(429, RateLimited, "lock_timeout", code="lock_timeout"),
    *(Line(call, status, RateLimited, "rate_limit", {"code": "rate_limit"}) for call in Call for status in (429, 400)),
    charge(429, RateLimited, "rate_limit"),
    charge(429, RateLimited, "rate_limit", code="rate_limit_exceeded"),
]
BROKEN = [
    *(
        Line(call, status, OutcomeUnknown, "gateway_error", type="api_error")
        for call in Call
        for status in (500, 502, 503)
    ),
    charge(500, OutcomeUnknown, "some_new_code", type="api_error", code="some_new_code"),
    charge(302, OutcomeUnknown, "gateway_error"),
]
LINES = [*CARDS, *ONE_OBJECT, *CONTENT, *SAVED_CARDS, *SAVING, *REFUNDING, *SUSPICIOUS, *ACCOUNT, *TWO_AT_ONCE, *BROKEN]

REQUEST = ChargeRequest("pay_1", Money(9999, "USD"), "pm_1Secret", metadata={"order": "A-17"})
SAVES: dict[Call, Callable[[StripeSavedMethods], object]] = {
    Call.CREATE_CUSTOMER: lambda methods: methods.create_customer("cus_1"),
    Call.START_SETUP: lambda methods: methods.start_setup("cus_stripe", "cus_1"),
    Call.LIST_METHODS: lambda methods: methods.of("cus_stripe"),
    Call.DETACH: lambda methods: methods.detach("pm_1Secret"),
    Call.DELETE_CUSTOMER: lambda methods: methods.delete_customer("cus_stripe"),
}
ORDER = RefundOrder("ref_1", "pay_1", "pi_1", Money(4000, "USD"))
REFUNDS: dict[Call, Callable[[StripeRefunds], object]] = {
    Call.REFUND: lambda refunds: refunds.create_refund(ORDER),
    Call.RETRIEVE_REFUND: lambda refunds: refunds.refund("re_1"),
    Call.LIST_REFUNDS: lambda refunds: refunds.refunds_of("pi_1"),
}
CALLS: dict[Call, Callable[[StripeGateway], object]] = {
    Call.CHARGE: lambda gateway: gateway.charge(REQUEST),
    Call.RETRIEVE: lambda gateway: gateway.find("pay_1", "pi_1"),
    Call.SEARCH: lambda gateway: gateway.find("pay_1"),
    Call.LIST: lambda gateway: gateway.check_account(),
    Call.CANCEL: lambda gateway: gateway.cancel("pi_1"),
}


class Answers(stripe.HTTPClient):
    """Gives one answer to every request."""

    name = "answers"

    def __init__(self, status: int, body: str, headers: dict[str, str]) -> None:
        super().__init__()
        self._answer = body, status, headers

    def request(self, *_: Any, **__: Any) -> Any:
        """The one answer."""
        return self._answer


def gateway_that_answers(status: int, body: str, headers: dict[str, str] | None = None) -> StripeGateway:
    """The adapter on the SDK, at a Stripe that gives one answer."""
    with patch.object(stripe, "RequestsClient", lambda **_: Answers(status, body, headers or {})):
        return StripeGateway(lambda: "sk_test_1")


def call_of(line: Line, **more: Any) -> object:
    """Make the line's call with the adapter on the SDK, at a Stripe that gives the line's answer."""
    body = json.dumps({"error": {"type": line.type, "message": TEXT, **line.fields, **more}})
    if line.call in CALLS:
        return CALLS[line.call](gateway_that_answers(line.status, body))
    with patch.object(stripe, "RequestsClient", lambda **_: Answers(line.status, body, {})):
        if line.call in REFUNDS:
            return REFUNDS[line.call](StripeRefunds(lambda: "sk_test_1"))
        return SAVES[line.call](StripeSavedMethods(lambda: "sk_test_1", "test"))


def meaning(line: Line, **more: Any) -> PaymentError:
    """The error that the adapter raises for the line's answer."""
    with pytest.raises(PaymentError) as caught:
        call_of(line, **more)
    return caught.value


@pytest.mark.fault(53)
@pytest.mark.parametrize("line", LINES, ids=str)
def test_answer_of_stripe_has_the_meaning_of_its_line(line: Line) -> None:
    error = meaning(line)
    assert (type(error), error.code) == (line.error, line.code)
    assert not any(private in str(error) for private in ("4242", "jane", "pm_1"))
    assert "{" not in error.message


@pytest.mark.fault(52)
@pytest.mark.parametrize("line", SAVED_CARDS, ids=str)
def test_refused_saved_card_rejects_its_payment_as_not_charged(line: Line) -> None:
    error = meaning(line)
    assert type(error) is InvalidPayment
    assert "charged nothing" in error.message


@pytest.mark.parametrize("line", GONE, ids=str)
def test_removal_of_what_is_gone_is_no_error(line: Line) -> None:
    assert call_of(line) is None


@pytest.mark.fault(53)
@pytest.mark.parametrize(
    "line", [*CARDS, *ONE_OBJECT, *CONTENT, *SAVED_CARDS, *SAVING, *REFUNDING, *SUSPICIOUS], ids=str
)
def test_error_about_one_object_is_never_an_error_about_the_account(line: Line) -> None:
    assert not isinstance(meaning(line), Misconfigured)


@pytest.mark.fault(59)
@pytest.mark.parametrize(
    ("code", "limit"), [("amount_too_small", "at least 0.50 USD"), ("amount_too_large", "at most 999999.99 USD")]
)
def test_refused_amount_rejects_its_payment_with_the_limit(code: str, limit: str) -> None:
    error = meaning(charge(400, InvalidPayment, code, code=code, param="amount"))
    assert type(error) is InvalidPayment
    assert limit in error.message
    assert "charged nothing" in error.message


@pytest.mark.parametrize(
    "line", [line for line in LINES if line.call in CALLS and line.call is not Call.CHARGE], ids=str
)
def test_error_of_a_question_is_no_answer_about_the_charge(line: Line) -> None:
    assert isinstance(meaning(line), OutcomeUnknown | RateLimited | Misconfigured)


def _answer(line: Line) -> Answer:
    fields = line.fields
    code = fields.get("decline_code") or fields.get("code", "")
    return Answer(line.call, line.status, line.type, code, fields.get("param", "").partition("[")[0])


def test_each_row_of_the_table_is_reached_by_a_line() -> None:
    silent = [Answer(Call.CHARGE, NO_ANSWER, type) for type in (NEVER_LEFT, "")]
    silent += [Answer(Call.CHARGE, 429, limit="resource-specific")]  # in a header
    reached = [row_of(answer) for answer in [*map(_answer, [*LINES, *GONE]), *silent]]
    assert [row for row in ROWS if row not in reached] == []


@pytest.mark.parametrize("call", Call)
@pytest.mark.parametrize("status", [NO_ANSWER, 200, 302, *range(400, 432), 500, 503, 599])
def test_every_answer_has_a_meaning(call: Call, status: int) -> None:
    row = row_of(Answer(call, status, "some_type", "some_new_code", "some_parameter"))
    assert (row.error is Misconfigured) == (status in (401, 403))


def test_last_row_matches_every_answer() -> None:
    assert ROWS[-1].matches(Answer(Call.LIST, -1))
    assert [row for row in ROWS[:-1] if row == Row(row.error, row.code, row.message)] == []


def test_decline_has_the_reference_of_its_payment_intent() -> None:
    error = meaning(CARDS[0], payment_intent={"id": "pi_7", "object": "payment_intent"})
    assert error.gateway_reference == "pi_7"


@pytest.mark.parametrize("call", CALLS)
def test_unreadable_answer_leaves_the_outcome_unknown(call: Call) -> None:
    for status, body in ((200, "<html>"), (400, "<html>"), (403, "<html>"), (400, "{}"), (429, "{}"), (502, "")):
        with pytest.raises(PaymentError) as caught:
            CALLS[call](gateway_that_answers(status, body))
        assert (type(caught.value), caught.value.code) == (OutcomeUnknown, "gateway_error")


@pytest.mark.parametrize(
    ("header", "seconds"), [("7", 7), ("0", 0), ("", 0), ("-1", 0), ("Fri, 31 Dec 2027 23:59:59 GMT", 0)]
)
def test_rate_limited_answer_passes_on_whole_seconds_only(header: str, seconds: int) -> None:
    gateway = gateway_that_answers(429, '{"error": {"code": "rate_limit"}}', {"Retry-After": header})
    with pytest.raises(RateLimited) as caught:
        gateway.charge(REQUEST)
    assert caught.value.retry_after_seconds == seconds


def test_error_of_the_sdk_without_a_key_is_misconfigured() -> None:
    assert type(payment_error(Call.CHARGE, stripe.AuthenticationError("No API key provided."))) is Misconfigured


def no_connection(cause: Exception | None) -> stripe.APIConnectionError:
    error = stripe.APIConnectionError(TEXT)  # type: ignore[no-untyped-call]
    error.__cause__ = cause
    return error


REFUSED = urllib3.exceptions.NewConnectionError(None, "refused")  # type: ignore[arg-type]
UNREACHABLE = requests.ConnectionError(urllib3.exceptions.MaxRetryError(None, "/", REFUSED))  # type: ignore[arg-type]

BAD_RECORD = urllib3.exceptions.SSLError("bad record mac")
BROKEN_LATER = requests.exceptions.SSLError(urllib3.exceptions.MaxRetryError(None, "/", BAD_RECORD))  # type: ignore[arg-type]
"""A TLS connection that breaks after the handshake: the request may be sent."""


@pytest.mark.parametrize("call", Call)
@pytest.mark.parametrize(
    ("cause", "expected"),
    [
        (requests.ConnectTimeout(), NotSent),
        (UNREACHABLE, NotSent),
        (requests.ReadTimeout(), OutcomeUnknown),
        (requests.ConnectionError("Connection aborted."), OutcomeUnknown),
        (requests.exceptions.SSLError(), OutcomeUnknown),
        (BROKEN_LATER, OutcomeUnknown),
        (requests.exceptions.ChunkedEncodingError(), OutcomeUnknown),
        (None, OutcomeUnknown),
    ],
)
def test_missing_answer_is_not_sent_only_without_a_connection(
    call: Call, cause: Exception | None, expected: type[PaymentError]
) -> None:
    error = payment_error(call, no_connection(cause))
    assert (type(error), error.code) == (expected, "gateway_unreachable" if expected is NotSent else "no_answer")
    assert "4242" not in str(error)
