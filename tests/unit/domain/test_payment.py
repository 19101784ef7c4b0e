"""A payment request's checks, and the row's versions."""

import hashlib
import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from payments.domain.money import Money
from payments.domain.payment import (
    MAX_MESSAGE,
    IllegalMove,
    InvalidRequest,
    PaymentRequest,
    accepted,
    moved,
    parse_request,
)
from payments.domain.statuses import Status
from payments.domain.token import token_id_of
from tests.unit.builders import NOON, payment, request

TOKEN = "ptok_" + "Aa0_" * 10 + "-x9"
GOOD: dict[str, Any] = {"payment_id": "pay_123456", "amount": Decimal("99.99"), "currency": "USD"}


def test_parse_request_when_all_is_well_then_every_field_is_there() -> None:
    parsed = parse_request(
        GOOD | {"customer_id": "c1", "payment_method": "pm_x1", "description": "tea", "metadata": {"order": "A-17"}}
    )
    assert (parsed.payment_id, parsed.money.minor_units, parsed.customer_id) == ("pay_123456", 9999, "c1")
    assert (parsed.payment_method, parsed.description, parsed.metadata) == ("pm_x1", "tea", {"order": "A-17"})


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"payment_id": None}, "payment_id"),
        ({"payment_id": "a" * 65}, "payment_id"),
        ({"payment_id": "white space"}, "payment_id"),
        ({"payment_id": "../etc"}, "payment_id"),
        ({"payment_id": 17}, "payment_id"),
        ({"payment_id": "4242424242424242"}, "payment_id"),
        ({"amount": None}, "amount"),
        ({"amount": True}, "amount"),
        ({"currency": "USX"}, "currency"),
        ({"currency": 5}, "currency"),
        ({"customer_id": "Jane Doe"}, "customer_id"),
        ({"payment_method": "4242-4242"}, "payment_method"),
        ({"description": "x" * 501}, "description"),
        ({"description": "card 4242 4242 4242 4242"}, "description"),
        ({"description": "bell\x07"}, "description"),
        ({"description": "half a pair \ud800"}, "description"),
        ({"metadata": {"a": "\udfff"}}, "metadata"),
        ({"metadata": ["a"]}, "metadata"),
        ({"metadata": {"a": 1}}, "metadata"),
        ({"metadata": {"card": "5555-5555-5555-4444"}}, "metadata"),
        ({"metadata": {"payment_id": "x"}}, "metadata"),
        ({"metadata": {"schlüssel": "x"}}, "metadata"),
        ({"metadata": {"a": "sealed.v1.x"}}, "metadata"),
        ({"metadata": {"a": "x" * 501}}, "metadata"),
        ({"description": "sealed.v1.x"}, "description"),
        ({"token": "ptok_short", "customer_id": "c1"}, "token"),
        ({"token": 5}, "token"),
        ({"token": TOKEN, "customer_id": "c1", "payment_method": "pm_x1"}, "token"),
        ({"token": TOKEN}, "customer_id"),
        ({"token": TOKEN, "customer_id": "no blanks"}, "customer_id"),
        ({"metadata": {"": "x"}}, "metadata"),
        ({"metadata": {str(n): "" for n in range(21)}}, "metadata"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_parse_request_when_a_field_is_wrong_then_it_is_named(change: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        parse_request(GOOD | change)
    assert [error.field for error in refused.value.errors] == [field]


def test_parse_request_when_several_are_wrong_then_all_are_named() -> None:
    with pytest.raises(InvalidRequest) as refused:
        parse_request({"payment_id": "a b", "amount": "1"})
    assert {error.field for error in refused.value.errors} == {"payment_id", "currency"}


@pytest.mark.fault(44)
@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"payment_id": "4242424242424242"}, "payment_id"),
        ({"amount": 4242424242424242}, "amount"),
        ({"amount": "4242.4242.4242.4242"}, "amount"),
        ({"amount": Decimal("4242424242424242.00")}, "amount"),
        ({"currency": "4242424242424242"}, "currency"),
        ({"customer_id": "4242424242424242"}, "customer_id"),
        ({"payment_method": "4242424242424242"}, "payment_method"),
        ({"token": "4242424242424242"}, "token"),
        ({"description": "4242/4242/4242/4242"}, "description"),
        ({"description": "cvc: 4242"}, "description"),
        ({"description": {"deep": [4242424242424242]}}, "description"),
        ({"metadata": {"4242424242424242": "x"}}, "metadata"),
        ({"metadata": {"42424242": "42424242"}}, "metadata"),
        ({"metadata": {"card-CVV": "4242"}}, "metadata"),
        ({"metadata": ["4242424242424242"]}, "metadata"),
        ({"metadata": "4242424242424242"}, "metadata"),
        ({"4242424242424242": "x"}, "field"),
        ({"cvv": "4242"}, "cvv"),
        ({"card_number": "4242"}, "card_number"),
        ({"card": {"number": "4242 4242 4242 4242"}}, "card"),
    ],
)
def test_parse_request_refuses_card_data_anywhere_without_repeating_it(change: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        parse_request(GOOD | change)
    assert [error.field for error in refused.value.errors] == [field]
    assert "card" in refused.value.errors[0].message
    assert "4242" not in str(refused.value)


@pytest.mark.parametrize("field", ["payment_id", "customer_id", "payment_method", "description", "metadata", "colour"])
def test_parse_request_refuses_a_misplaced_token_without_repeating_it(field: str) -> None:
    value = {"a": TOKEN} if field == "metadata" else TOKEN
    with pytest.raises(InvalidRequest) as refused:
        parse_request(GOOD | {field: value})
    assert [error.field for error in refused.value.errors] == [field]
    assert TOKEN[:20] not in str(refused.value)


@pytest.mark.parametrize("token", [f"{TOKEN}x", f" {TOKEN}", TOKEN[:-1], TOKEN.replace("-", "."), TOKEN.upper()])
def test_parse_request_when_a_token_is_none_then_refused_unrepeated(token: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        parse_request(GOOD | {"token": token, "customer_id": "c1"})
    assert token[:20].strip() not in str(refused.value)


def test_accepted_when_by_token_then_the_row_holds_its_id_alone() -> None:
    parsed = parse_request(GOOD | {"token": TOKEN, "customer_id": "c1"})
    row = accepted(parsed, at=NOON, source="rest")
    assert (row.token_id, row.payment_method) == (token_id_of(TOKEN), "")
    assert TOKEN not in repr(parsed) + repr(row)


def test_fingerprint_differs_by_token_and_without_one() -> None:
    plain, one, other = (request(customer_id="c1", token=token) for token in ("", TOKEN, f"{TOKEN[:-1]}y"))
    assert len({plain.fingerprint, one.fingerprint, other.fingerprint}) == 3


def test_fingerprint_without_a_token_is_unchanged_since_before_tokens() -> None:
    """Stored rows of that time are compared with repeated requests now."""
    assert request().fingerprint == "d51d4b26cac4647662d134a45ad168b86f8c3b9dc20f6f0c345d5fe769aa038b"


@pytest.mark.fault(44)
def test_a_card_number_is_refused_and_never_repeated() -> None:
    with pytest.raises(InvalidRequest) as refused:
        parse_request(GOOD | {"description": "pay with 4242424242424242", "payment_id": "4000 0025 0000 3155"})
    assert "4242424242424242" not in str(refused.value)
    assert "4000 0025 0000 3155" not in str(refused.value)


@given(st.lists(st.text(max_size=20), min_size=5, max_size=5), st.integers(1, 10**12))
def test_fingerprint_of_a_plain_request_is_of_its_sorted_json(texts: list[str], minor_units: int) -> None:
    payment_id, currency, customer_id, payment_method, description = texts
    plain = PaymentRequest(payment_id, Money(minor_units, currency), customer_id, payment_method, description)
    content = {
        "payment_id": payment_id,
        "minor_units": minor_units,
        "currency": currency,
        "customer_id": customer_id,
        "payment_method": payment_method,
        "description": description,
        "metadata": {},
    }
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    assert plain.fingerprint == hashlib.sha256(text.encode()).hexdigest()


def test_fingerprint_when_anything_differs_then_another() -> None:
    same = request().fingerprint
    others = [request(amount=1), request(currency="EUR"), request(customer_id="c"), request(metadata={"a": "b"})]
    assert same == request().fingerprint
    assert len({same, *(other.fingerprint for other in others)}) == 5


def test_moved_counts_the_version_and_keeps_the_history() -> None:
    charged = moved(payment(), Status.PROCESSING, at=NOON, actor="charge")
    done = moved(charged, Status.SUCCEEDED, at=NOON, actor="workflow", gateway_reference="pi_1")
    assert (done.version, done.status, done.gateway_reference) == (3, Status.SUCCEEDED, "pi_1")
    assert [(change.version, change.status.value) for change in done.history] == [
        (1, "pending"),
        (2, "processing"),
        (3, "succeeded"),
    ]


def test_moved_cuts_a_message_that_is_too_long_for_a_history() -> None:
    row = moved(payment(), Status.FAILED, at=NOON, actor="workflow", message="x" * (MAX_MESSAGE + 1))
    assert row.message == row.history[-1].message == "x" * MAX_MESSAGE


def test_moved_when_the_table_forbids_it_then_refused() -> None:
    with pytest.raises(IllegalMove, match="pay_1 cannot move from pending to succeeded"):
        moved(payment(), Status.SUCCEEDED, at=NOON, actor="test")


def test_parse_request_does_not_repeat_an_invalid_payment_method() -> None:
    with pytest.raises(InvalidRequest) as refused:
        parse_request(GOOD | {"payment_method": "pm-secret-token"})
    assert "secret" not in str(refused.value)


# Off session, and the way back ---------------------------------------------------------------------------------------


def test_off_session_is_false_over_rest_and_true_in_a_file_unless_given() -> None:
    assert [parse_request(GOOD | {"off_session": given}).off_session for given in (None, "", False, True)] == [
        *[False] * 3,
        True,
    ]
    in_a_file = [parse_request(GOOD | change, usually_off_session=True) for change in ({}, {"off_session": False})]
    assert [parsed.off_session for parsed in in_a_file] == [True, False]
    assert accepted(in_a_file[0], at=NOON, source="batch").off_session


def test_fingerprint_stays_unless_off_session_differs_from_what_is_usual() -> None:
    before = parse_request(GOOD).fingerprint
    assert before == "c426ed8c46eb00d9b59772e65128c16273b8f08bb53c2e3b1c7ce1e8c133c4f3"
    assert parse_request(GOOD | {"off_session": False}).fingerprint == before
    assert parse_request(GOOD, usually_off_session=True).fingerprint == before
    assert parse_request(GOOD | {"off_session": True}, usually_off_session=True).fingerprint == before
    explicit = parse_request(GOOD | {"off_session": True}).fingerprint
    assert explicit not in (before, parse_request(GOOD | {"off_session": False}, usually_off_session=True).fingerprint)


@pytest.mark.parametrize("value", ["true", 1, 0, "yes", [True]])
def test_off_session_that_is_no_boolean_is_rejected(value: Any) -> None:
    with pytest.raises(InvalidRequest) as refused:
        parse_request(GOOD | {"off_session": value})
    assert [error.field for error in refused.value.errors] == ["off_session"]


@pytest.mark.parametrize(
    "url",
    [
        "https://shop.example/done",
        "https://shop.example",
        "https://127.0.0.1:8443/a?order=A-17&x=%20#top",
        "https://shop.example/" + "a" * 2027,
    ],
)
def test_return_url_is_kept_as_it_is_and_part_of_the_fingerprint(url: str) -> None:
    parsed = parse_request(GOOD | {"return_url": url})
    assert accepted(parsed, at=NOON, source="rest").return_url == url
    assert parsed.fingerprint != parse_request(GOOD).fingerprint
    assert url not in repr(parsed)


@pytest.mark.parametrize(
    "url",
    [
        "http://shop.example/done",
        "HTTPS://shop.example/done",
        "https://",
        "https:///done",
        "https://jo@shop.example/",
        "https://shop.example/a b",
        "https://shop.example/schön",
        "https://shop.example\n",
        "shop.example",
        "javascript:alert(1)",
        "https://shop.example/" + "a" * 2028,
        7,
    ],
)
def test_return_url_that_is_no_plain_https_address_is_rejected(url: Any) -> None:
    with pytest.raises(InvalidRequest) as refused:
        parse_request(GOOD | {"return_url": url})
    assert [error.field for error in refused.value.errors] == ["return_url"]
    assert "shop.example/a b" not in str(refused.value)


def test_return_url_for_an_absent_customer_is_rejected() -> None:
    with pytest.raises(InvalidRequest, match="return_url"):
        parse_request(GOOD | {"return_url": "https://shop.example/", "off_session": True})
    with pytest.raises(InvalidRequest, match="return_url"):
        parse_request(GOOD | {"return_url": "https://shop.example/"}, usually_off_session=True)
