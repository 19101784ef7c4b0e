"""A payment request's checks, and the row's versions."""

from decimal import Decimal
from typing import Any

import pytest

from payments.payment import IllegalMove, InvalidRequest, moved, parse_request
from payments.statuses import Status
from tests.unit.builders import NOON, payment, request

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


def test_fault_44_a_card_number_is_refused_and_never_repeated() -> None:
    with pytest.raises(InvalidRequest) as refused:
        parse_request(GOOD | {"description": "pay with 4242424242424242", "payment_id": "4000 0025 0000 3155"})
    assert "4242424242424242" not in str(refused.value)
    assert "4000 0025 0000 3155" not in str(refused.value)


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


def test_moved_when_the_table_forbids_it_then_refused() -> None:
    with pytest.raises(IllegalMove, match="pay_1 cannot move from pending to succeeded"):
        moved(payment(), Status.SUCCEEDED, at=NOON, actor="nobody")


def test_parse_request_when_a_payment_method_is_wrong_then_it_is_not_repeated() -> None:
    with pytest.raises(InvalidRequest) as refused:
        parse_request(GOOD | {"payment_method": "pm-secret-token"})
    assert "secret" not in str(refused.value)
