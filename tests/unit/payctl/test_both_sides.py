"""What an operator does about every status of ours beside every answer of the gateway."""

from dataclasses import replace
from datetime import timedelta
from itertools import product
from typing import Any

import pytest

from payctl.at_gateway import NO_ANSWER, NO_CHARGE, PAYABLE, STRANGE, GatewaySays
from payctl.both_sides import DIFFERENCES, Seen, difference, seen
from payctl.exit_codes import OF_STATUS
from payctl.what_now import what_now
from payments.application.charge import may_call_gateway
from payments.domain.clock import iso
from payments.domain.money import Money
from payments.domain.payment import Payment
from payments.domain.statuses import CAPTURED, FINAL, SETTLED, TRANSITIONS, Status
from tests.unit.builders import NOON, after, payment
from tests.unit.payctl.test_what_now import facts_of, row

ASKED = payment().money
ANSWERS: dict[Seen, GatewaySays] = {
    Seen.NOTHING: GatewaySays(NO_CHARGE),
    Seen.MISSING: GatewaySays(NO_ANSWER, code="charge_not_found"),
    Seen.CAPTURED: GatewaySays("succeeded", str(ASKED), "pi_1", charged=ASKED, refunded=0),
    Seen.PART_REFUNDED: GatewaySays("partially_refunded", "20.00 of 99.99 USD", "pi_1", charged=ASKED, refunded=2000),
    Seen.REFUNDED: GatewaySays("refunded", str(ASKED), "pi_1", charged=ASKED, refunded=9999),
    Seen.SETTLING: GatewaySays("processing", str(ASKED), "pi_1", charged=ASKED, refunded=0),
    Seen.WAITING: GatewaySays("requires_action", code="authentication_required", reference="pi_1"),
    Seen.PAYABLE: GatewaySays(PAYABLE, code="lost_card", reference="pi_1"),
    Seen.ENDED: GatewaySays("declined", code="lost_card", reference="pi_1"),
    Seen.CONFLICT: GatewaySays("several_charges", reference="pi_1"),
    Seen.STRANGE: GatewaySays(STRANGE, code="Stripe reports the status requires_capture", reference="pi_1"),
}
HELD = after(payment(), Status.IN_REVIEW, code="card_testing", message="many cards", hold="card_testing")
PAIRS = list(product(sorted(TRANSITIONS), Seen))
PAY_ANEW = ("pay again", "To send it again", "submit it under a new payment id")


def ours(status: Status) -> Payment:
    """A payment as its status leaves it, refunded by as much as the gateway's answer says."""
    refunded = {Status.PARTIALLY_REFUNDED: 2000, Status.REFUNDED: 9999}.get(status, 0)
    return replace(row(status), refunded_minor_units=refunded, attempts=1)


def text(payment: Payment, says: GatewaySays | None, **facts: Any) -> str:
    return " ".join(what_now(facts_of(payment, says=says, **facts)))


def test_every_status_of_ours_has_a_row_and_every_answer_a_column() -> None:
    assert DIFFERENCES.keys() == TRANSITIONS.keys()
    assert all(table.keys() == {*Seen} for table in DIFFERENCES.values())
    assert all(seen(answer) is kind for kind, answer in ANSWERS.items())
    assert ANSWERS.keys() == {*Seen}


@pytest.mark.parametrize(("status", "theirs"), PAIRS)
def test_what_now_of_both_sides_never_contradicts_itself(status: Status, theirs: Seen) -> None:
    one, says = ours(status), ANSWERS[theirs]
    differs, said = difference(one, says), text(one, says)
    assert said.strip()
    if differs:
        assert str(differs) in said
        assert "Nothing is left" not in said
        assert "payctl " in str(differs) or "dashboard" in str(differs)
        assert status in said
        assert not any(anew in said for anew in PAY_ANEW)
    else:
        assert "the gateway says" not in said


@pytest.mark.parametrize(("status", "theirs"), PAIRS)
def test_both_sides_agree_only_where_neither_holds_more_money(status: Status, theirs: Seen) -> None:
    if difference(ours(status), ANSWERS[theirs]) is None:
        captured = theirs in (Seen.CAPTURED, Seen.PART_REFUNDED)
        assert not (captured and status not in CAPTURED)
        assert not (status in CAPTURED and theirs not in (Seen.CAPTURED, Seen.PART_REFUNDED, Seen.REFUNDED))
        assert not (status in FINAL - CAPTURED and theirs in (Seen.SETTLING, Seen.WAITING, Seen.PAYABLE))


@pytest.mark.parametrize(("status", "theirs"), PAIRS)
def test_a_recheck_is_offered_only_where_it_asks_the_gateway(status: Status, theirs: Seen) -> None:
    differs = difference(ours(status), ANSWERS[theirs])
    if differs and "payment recheck" in str(differs):
        assert status is not Status.PENDING
        assert may_call_gateway(ours(status), reconcile=True)


@pytest.mark.parametrize(("status", "theirs"), PAIRS)
def test_a_time_that_has_passed_is_never_announced_as_coming(status: Status, theirs: Seen) -> None:
    for one in (ours(status), replace(ours(status), audited_version=1)):
        late = text(one, ANSWERS[theirs], now=NOON + timedelta(days=30))
        assert "after 2026-11" not in late
        assert "If the customer does not" not in late


@pytest.mark.parametrize("status", [Status.DECLINED, Status.REJECTED, Status.FAILED])
def test_money_of_a_payment_that_says_not_charged_is_refunded(status: Status) -> None:
    for theirs in (Seen.CAPTURED, Seen.PART_REFUNDED, Seen.CONFLICT):
        assert "refund it in the gateway's dashboard" in text(ours(status), ANSWERS[theirs])
    assert any(anew in text(ours(status), ANSWERS[Seen.NOTHING]) for anew in PAY_ANEW)


def test_refund_that_our_row_lacks_is_named_with_its_command() -> None:
    said = text(ours(Status.SUCCEEDED), ANSWERS[Seen.REFUNDED])
    assert "Our row says succeeded, the gateway says refunded 99.99 USD" in said
    assert "payctl payment recheck pay_1" in said


def test_part_of_a_refund_that_our_row_lacks_is_a_difference() -> None:
    less = replace(ours(Status.PARTIALLY_REFUNDED), refunded_minor_units=500)
    said = text(less, ANSWERS[Seen.PART_REFUNDED])
    assert "Our row says partially_refunded (5.00 USD of 99.99 USD), the gateway says partially_refunded 20.00" in said


def test_another_amount_than_asked_for_is_a_difference() -> None:
    other = GatewaySays("succeeded", "1.00 USD", "pi_1", charged=Money(100, "USD"), refunded=0)
    for status in (Status.IN_REVIEW, Status.SUCCEEDED, Status.UNKNOWN):
        assert "is for 99.99 USD, the gateway charged 1.00 USD" in text(ours(status), other)


def test_payment_held_before_it_was_sent_has_a_charge_of_somebody_else() -> None:
    said = text(HELD, ANSWERS[Seen.CAPTURED])
    assert "another system or a person made it" in said
    assert "payctl payment reject pay_1" in said
    assert "gateway has a charge" not in text(HELD, ANSWERS[Seen.NOTHING])


def test_settling_payment_whose_charge_is_not_found_questions_the_key() -> None:
    settling = row(Status.PROCESSING, gateway_reference="pi_1")
    assert "payctl gateway set-key" in text(settling, ANSWERS[Seen.MISSING])


@pytest.mark.parametrize("status", sorted(TRANSITIONS))
@pytest.mark.parametrize("says", [None, GatewaySays(NO_ANSWER, code="api_connection_error")])
def test_one_side_alone_never_says_that_nothing_is_left(status: Status, says: GatewaySays | None) -> None:
    said = text(ours(status), says)
    assert "this is our side only" in said
    assert "Nothing is left" not in said


@pytest.mark.parametrize("status", sorted(SETTLED))
def test_both_sides_that_agree_say_what_the_row_says(status: Status) -> None:
    agreeing = next(kind for kind, advice in DIFFERENCES[status].items() if advice is None)
    said = text(ours(status), ANSWERS[agreeing])
    assert "our side only" not in said
    assert status in OF_STATUS


def test_times_to_come_are_said_with_their_time() -> None:
    assert f"after {iso(NOON + timedelta(minutes=5))}" in text(ours(Status.UNKNOWN), ANSWERS[Seen.NOTHING])
    assert "within minutes (due since 2026-11-21T12:05" in text(
        ours(Status.UNKNOWN), ANSWERS[Seen.NOTHING], now=NOON + timedelta(hours=1)
    )
