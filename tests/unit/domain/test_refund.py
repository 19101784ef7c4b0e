"""Refunds: requests, statuses, and the arithmetic of a payment's money."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from payments.domain.money import Money
from payments.domain.payment import InvalidRequest, Payment
from payments.domain.refund import (
    IllegalRefundMove,
    Refund,
    booked,
    parse_refund_request,
    refund_moved,
    refund_requested,
)
from payments.domain.refund_statuses import ENDED, NOT_REFUNDED, REFUND_TRANSITIONS, RefundStatus
from payments.domain.refundable import NotRefundable, books_of, require_refundable
from payments.domain.statuses import Status
from tests.unit.builders import NOON, after, payment

BODY = {"refund_id": "ref_1", "amount": "40.00", "reason": "duplicate", "metadata": {"order": "A-17"}}
YEAR = timedelta(days=365)


def captured(**changes: Any) -> Payment:
    """A payment of 99.99 USD that succeeded."""
    return replace(after(payment(), Status.PROCESSING, Status.SUCCEEDED), **changes)


def refund(refund_id: str = "ref_1", amount: int = 4000) -> Refund:
    asked = parse_refund_request({"refund_id": refund_id}, payment_id="pay_1", currency="USD")
    return refund_requested(
        asked, Money(amount, "USD"), status=RefundStatus.PENDING, at=NOON, actor="rest", source="rest"
    )


def moved(before: Refund, *statuses: RefundStatus, **changes: Any) -> Refund:
    for place, status in enumerate(statuses, 1):
        last = changes if place == len(statuses) else {}
        before = refund_moved(before, status, at=NOON, actor="test", **last)
    return before


_S = RefundStatus


def test_every_refund_status_has_its_line_and_each_change_a_sentence() -> None:
    assert set(REFUND_TRANSITIONS) == set(RefundStatus)
    reasons = [reason for targets in REFUND_TRANSITIONS.values() for reason in targets.values()]
    assert all(reason.endswith(".") for reason in reasons)


def test_refund_that_was_not_made_never_changes_and_a_success_may_fail() -> None:
    assert all(not REFUND_TRANSITIONS[status] for status in NOT_REFUNDED)
    assert set(REFUND_TRANSITIONS[_S.SUCCEEDED]) == {_S.FAILED, _S.CANCELED}
    assert ENDED >= NOT_REFUNDED


def test_move_that_the_table_forbids_is_refused() -> None:
    with pytest.raises(IllegalRefundMove, match="ref_1 cannot move from pending to rejected"):
        refund_moved(refund(), _S.REJECTED, at=NOON, actor="test")


@pytest.mark.parametrize("amount", ["40.00", 40, Decimal("40.0"), None, ""])
def test_amount_may_be_text_a_number_or_left_out(amount: Any) -> None:
    asked = parse_refund_request({**BODY, "amount": amount}, payment_id="pay_1", currency="USD")

    assert asked.money == (Money(4000, "USD") if amount else None)


def test_every_wrong_field_is_named_at_once() -> None:
    body = {
        "refund_id": "_1",
        "amount": "1.234",
        "reason": "bored",
        "description": 7,
        "metadata": {"refund_id": "x"},
        "currency": "USD",
    }
    with pytest.raises(InvalidRequest) as refused:
        parse_refund_request(body, payment_id="pay_1", currency="USD")

    named = {error.field for error in refused.value.errors}
    assert named == {"refund_id", "amount", "reason", "description", "metadata", "field"}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("refund_id", None),
        ("refund_id", 17),
        ("amount", "-1"),
        ("amount", "0"),
        ("amount", 1.5),
        ("amount", True),
        ("reason", ["duplicate"]),
        ("description", "\x00"),
        ("description", "4242 4242 4242 4242"),
        ("metadata", {"a": 1}),
        ("metadata", {"payment_id": "pay_2"}),
    ],
)
def test_wrong_value_of_a_refund_is_refused(field: str, value: Any) -> None:
    with pytest.raises(InvalidRequest) as refused:
        parse_refund_request({**BODY, field: value}, payment_id="pay_1", currency="USD")

    assert [error.field for error in refused.value.errors] == [field]


def test_content_makes_the_fingerprint_and_its_form_does_not() -> None:
    def fingerprint(**changes: Any) -> str:
        return parse_refund_request({**BODY, **changes}, payment_id="pay_1", currency="USD").fingerprint

    assert fingerprint() == fingerprint(amount=40)
    others = [fingerprint(amount=41), fingerprint(amount=None), fingerprint(reason=""), fingerprint(metadata={})]
    assert len({fingerprint(), *others}) == 5


@pytest.mark.fault(40)
@pytest.mark.parametrize(
    ("row", "code"),
    [
        (payment(), "not_captured"),
        (captured(refunded_minor_units=9999, status=Status.REFUNDED), "nothing_left"),
        (captured(reserved_minor_units=9999), "nothing_left"),
        (captured(refunded_minor_units=6000, status=Status.PARTIALLY_REFUNDED), "more_than_left"),
        (captured(disputed_minor_units=9999, status=Status.DISPUTED), "disputed"),
        (captured(disputed_minor_units=1), "disputed"),
        (captured(status=Status.DISPUTE_LOST), "dispute_lost"),
        (captured(created_at="2025-11-20T12:00:00.000Z"), "too_old"),
    ],
)
def test_refund_that_the_payment_does_not_allow_has_a_reason(row: Payment, code: str) -> None:
    with pytest.raises(NotRefundable) as refused:
        require_refundable(row, 4000, at=NOON, refundable_for=YEAR)

    assert refused.value.code == code
    assert "pay_1" in str(refused.value)


def test_refund_without_amount_takes_all_that_is_left() -> None:
    row = captured(refunded_minor_units=1000, reserved_minor_units=2000, status=Status.PARTIALLY_REFUNDED)

    assert require_refundable(row, None, at=NOON, refundable_for=YEAR) == Money(6999, "USD")


def test_amount_is_reserved_until_the_gateway_reports_the_refund() -> None:
    new = refund()
    row = booked(captured(), None, new)
    assert books_of(row).left == 5999

    sent = moved(new, _S.PROCESSING)
    row = booked(row, new, sent)
    assert row.reserved_minor_units == 4000

    done = moved(sent, _S.SUCCEEDED, gateway_reference="re_1")
    row = booked(row, sent, done, refunded=4000)
    assert (row.reserved_minor_units, row.refunded_minor_units, row.status) == (0, 4000, Status.PARTIALLY_REFUNDED)

    failed = moved(done, _S.FAILED)
    row = booked(row, done, failed, refunded=0)
    assert (books_of(row).left, row.status) == (9999, Status.SUCCEEDED)
    assert failed.failed_late
    assert [change.code for change in row.history[3:]] == [
        "refund_pending",
        "refund_processing",
        "refund_succeeded",
        "refund_failed",
    ]


STEPS = st.lists(st.tuples(st.integers(0, 3), st.integers(1, 6000), st.sampled_from(RefundStatus)), max_size=30)


@given(STEPS)
def test_reserved_and_refunded_never_exceed_what_was_captured(steps: list[tuple[int, int, RefundStatus]]) -> None:
    row, refunds, at_gateway = captured(), dict[int, Refund](), dict[int, int]()
    for number, amount, status in steps:
        before = refunds.get(number)
        if before is None:
            try:
                money = require_refundable(row, amount, at=NOON, refundable_for=YEAR)
            except NotRefundable:
                continue
            refunds[number] = replace(refund(f"ref_{number}"), money=money)
            row = booked(row, None, refunds[number])
        elif status in REFUND_TRANSITIONS[before.status]:
            known = before.gateway_reference or status in (_S.SUCCEEDED, _S.REQUIRES_ACTION)
            refunds[number] = moved(before, status, gateway_reference=f"re_{number}" if known else "")
            at_gateway[number] = before.money.minor_units if known and status not in NOT_REFUNDED else 0
            row = booked(row, before, refunds[number], refunded=sum(at_gateway.values()))
        books = books_of(row)
        assert books.is_within
        assert books.reserved == sum(each.reserved_minor_units for each in refunds.values())
        assert books.refunded == sum(at_gateway.values())
