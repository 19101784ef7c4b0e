"""Lengths are checked before any pattern: a text that no field may have is refused unread, at every entrance."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest

from payments.domain.customer import parse_customer, parse_patch, parse_search
from payments.domain.payment import MAX_TEXT, FieldError, InvalidRequest, parse_request
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


@pytest.mark.fault(69)
@pytest.mark.parametrize("parse", [parse_request, parse_token_request])
def test_name_longer_than_any_field_is_refused_unread(parse: Callable[[dict[str, Any]], Any]) -> None:
    errors = _refused(parse, {LONG: "x"})
    assert not any("looks like" in error.message for error in errors)
    assert CARD not in str(errors)
