"""Lengths are checked before any pattern: a text that no field may have is refused unread, at every entrance."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest

from payments.domain.customer import parse_customer, parse_patch, parse_search
from payments.domain.payment import MAX_SEARCHED, MAX_TEXT, FieldError, InvalidRequest, parse_request
from payments.rest.http import Problem
from payments.rest.tokens import parse_token_request

CARD = "4242424242424242"
LONG = CARD + "x" * MAX_TEXT
"""A text that would be refused as a card number if it was searched for one."""
PAY = {"payment_id": "pay_1", "amount": "1", "currency": "EUR"}
CUSTOMER = {"customer_id": "cus_1", "email": "jo@example.com"}
TOKEN = {"customer_id": "cus_1", "payment_method": "pm_1"}

ENTRANCES: list[tuple[Callable[[dict[str, Any]], Any], Mapping[str, Any], str]] = [
    *((parse_request, PAY, name) for name in ("description", "payment_id", "customer_id", "unknown")),
    *((parse_customer, CUSTOMER, name) for name in ("name", "email", "customer_id", "subject")),
    *((parse_patch, {}, name) for name in ("name", "email", "default_payment_method")),
    (parse_search, {}, "email"),
    *((parse_token_request, TOKEN, name) for name in ("customer_id", "payment_method", "unknown")),
]


def _refused(parse: Callable[[dict[str, Any]], Any], body: dict[str, Any]) -> Sequence[FieldError]:
    try:
        parse(body)
    except (InvalidRequest, Problem) as refused:
        return refused.errors
    raise AssertionError("not refused")


@pytest.mark.fault(69)
@pytest.mark.parametrize(("parse", "body", "name"), ENTRANCES)
def test_text_longer_than_any_field_is_refused_unread(
    parse: Callable[[dict[str, Any]], Any], body: Mapping[str, Any], name: str
) -> None:
    messages = [error.message for error in _refused(parse, {**body, name: LONG}) if error.field == name]
    assert any(f"{len(LONG)} characters given" in message for message in messages)
    assert not any("looks like" in message for message in messages)


DEEP: dict[str, Callable[[str], Any]] = {
    "list": lambda text: [text],
    "list of short texts": lambda text: [text[at : at + 20] for at in range(0, len(text), 20)],
    "object": lambda text: {"a": {"b": text}},
    "name": lambda text: {text: 1},
    "deep": lambda text: [[[{"a": [text]}]]],
    "numbers": lambda text: [4242424242424242] * (len(text) // 16),
    "empty lists": lambda text: [[] for _ in text],
}


def _searched(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The lengths of what is searched for card data from now on."""
    searched: list[int] = []

    def card_data_in(value: Any) -> str:
        searched.append(len(str(value)))
        return ""

    for module in ("payments.domain.payment", "payments.rest.tokens"):
        monkeypatch.setattr(f"{module}.card_data_in", card_data_in)
    return searched


@pytest.mark.fault(69)
@pytest.mark.parametrize("parse", [parse_request, parse_token_request])
@pytest.mark.parametrize("name", ["unknown", "metadata", "amount", "payment_method"])
@pytest.mark.parametrize("shape", DEEP)
def test_long_value_of_any_shape_is_refused_unread(
    parse: Callable[[dict[str, Any]], Any], name: str, shape: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    searched = _searched(monkeypatch)
    body = {**(PAY if parse is parse_request else TOKEN), name: DEEP[shape]("rf00 " * 12_000)}
    _refused(parse, body)
    assert sum(searched) < 2 * MAX_TEXT


@pytest.mark.fault(69)
@pytest.mark.parametrize("parse", [parse_request, parse_token_request])
def test_many_fields_are_not_searched_together(
    parse: Callable[[dict[str, Any]], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    searched = _searched(monkeypatch)
    body = {**(PAY if parse is parse_request else TOKEN)} | {f"x{n}": "rf00 " * 400 for n in range(30)}
    _refused(parse, body)
    assert sum(searched) < MAX_SEARCHED + 1_000


@pytest.mark.fault(69)
def test_metadata_of_the_greatest_length_is_accepted() -> None:
    metadata = {f"{n:02}{'k' * 38}": "v" * 500 for n in range(20)}
    assert parse_request({**PAY, "metadata": metadata}).metadata == metadata
    assert parse_token_request({**TOKEN, "metadata": metadata}).metadata == metadata


@pytest.mark.fault(69)
@pytest.mark.parametrize("parse", [parse_request, parse_token_request])
def test_name_longer_than_any_field_is_refused_unread(parse: Callable[[dict[str, Any]], Any]) -> None:
    errors = _refused(parse, {LONG: "x"})
    assert not any("looks like" in error.message for error in errors)
    assert CARD not in str(errors)
