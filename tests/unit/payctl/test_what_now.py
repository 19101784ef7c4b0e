"""The sentences about a payment's state for the operator: for every status, and for every problem."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from payctl.at_gateway import NO_CHARGE, PAYABLE, STRANGE, GatewaySays
from payctl.what_now import Facts, recovery_due_at, what_now
from payments.domain.batch_breaker import BreakerState, PausedBy
from payments.domain.clock import iso
from payments.domain.payment import SENDER, Payment, moved
from payments.domain.recovery_timeouts import RecoveryTimeouts
from payments.domain.statuses import TRANSITIONS, Status
from tests.unit.builders import NOON, after, batch_payment, payment

WAYS: dict[Status, tuple[Status, ...]] = {
    Status.PENDING: (),
    Status.REJECTED: (Status.REJECTED,),
    Status.PROCESSING: (Status.PROCESSING,),
    Status.PARTIALLY_REFUNDED: (Status.PROCESSING, Status.SUCCEEDED, Status.PARTIALLY_REFUNDED),
    Status.REFUNDED: (Status.PROCESSING, Status.SUCCEEDED, Status.REFUNDED),
    Status.DISPUTED: (Status.PROCESSING, Status.SUCCEEDED, Status.DISPUTED),
    Status.DISPUTE_LOST: (Status.PROCESSING, Status.SUCCEEDED, Status.DISPUTED, Status.DISPUTE_LOST),
}
GATEWAY_PAUSED = BreakerState(PausedBy.GATEWAY, "api_key_expired: refused", "2026-11-21T12:00:00.000Z")
OPERATOR_PAUSED = BreakerState(PausedBy.OPERATOR, "the bank is down", "2026-11-21T12:00:00.000Z")


OUTAGE = BreakerState(PausedBy.OUTAGE, "gateway_unreachable: no connection", "2026-11-21T12:00:00.000Z")


def row(status: Status, start: Payment | None = None, **changes: Any) -> Payment:
    """An audited payment in a status."""
    moved = after(start or payment(), *WAYS.get(status, (Status.PROCESSING, status)), **changes)
    return replace(moved, audited_version=moved.version)


def facts_of(payment: Payment, **facts: Any) -> Facts:
    """The facts about a payment, as of its last change."""
    return Facts(payment, **{"now": NOON, **facts})


def says(status: Status, start: Payment | None = None, **facts: Any) -> str:
    return " ".join(what_now(facts_of(row(status, start), **facts)))


@pytest.mark.parametrize("status", sorted(TRANSITIONS))
def test_what_now_gives_advice_without_an_audit_warning_for_every_status(status: Status) -> None:
    sentences = what_now(facts_of(row(status)))
    assert sentences
    assert all(sentence.strip() for sentence in sentences)
    assert "audit" not in " ".join(sentences)


@pytest.mark.fault(86)
@pytest.mark.parametrize("start", [payment(), batch_payment()], ids=["rest", "batch"])
def test_what_now_in_an_outage_says_that_a_pending_payment_waits(start: Payment) -> None:
    text = says(Status.PENDING, start, breaker=OUTAGE)
    assert "out of reach since 2026-11-21T12:00:00.000Z (gateway_unreachable: no connection)" in text
    assert "is failed" not in text  # it was never tried
    tried = moved(
        moved(start, Status.PROCESSING, at=NOON, actor=SENDER),
        Status.PENDING,
        at=NOON,
        actor=SENDER,
        code="gateway_unreachable",
    )
    assert f"before {iso(NOON + timedelta(days=1))}, it is failed" in " ".join(
        what_now(Facts(tried, breaker=OUTAGE, now=NOON))
    )


@pytest.mark.parametrize("status", [Status.IN_REVIEW, Status.UNKNOWN])
def test_what_now_when_a_recheck_helps_then_offers_it(status: Status) -> None:
    assert "payctl payment recheck pay_1" in says(status)


def test_what_now_for_a_payment_in_review_repeats_the_reason() -> None:
    held = row(Status.IN_REVIEW, code="amount_differs", message="asked for 1, the gateway reports 2")
    assert "the gateway reports 2" in " ".join(what_now(facts_of(held)))


def test_what_now_when_unknown_gives_the_times_of_lookup_and_absence_proof() -> None:
    text = says(Status.UNKNOWN)
    assert iso(NOON + timedelta(minutes=5)) in text
    assert iso(NOON + timedelta(minutes=10)) in text


def test_what_now_when_the_stack_has_other_waits_then_uses_those() -> None:
    assert iso(NOON + timedelta(seconds=20)) in says(Status.UNKNOWN, timeouts=RecoveryTimeouts(timedelta(seconds=10)))


def test_what_now_when_the_customer_must_act_then_names_the_end_of_it() -> None:
    assert iso(NOON + timedelta(days=1)) in says(Status.REQUIRES_ACTION)


def test_what_now_says_it_may_take_days_when_the_gateway_settles_later() -> None:
    settling = row(Status.PROCESSING, gateway_reference="pi_1")
    assert "may take days" in " ".join(what_now(facts_of(settling)))
    assert "A workflow is charging it" in says(Status.PROCESSING)


@pytest.mark.parametrize(
    ("facts", "advice"),
    [
        ({"dead_letter": True}, "payctl dlq replay --id pay_1"),
        ({"breaker": GATEWAY_PAUSED}, "api_key_expired"),
        ({"breaker": OPERATOR_PAUSED}, "payctl breaker resume"),
        ({}, "waits in the queue"),
        ({"started": True}, "Its workflow started"),
    ],
)
def test_what_now_when_a_batch_payment_waits_then_says_what_for(facts: dict[str, Any], advice: str) -> None:
    assert advice in says(Status.PENDING, batch_payment(), **facts)


def test_what_now_for_a_waiting_rest_payment_ignores_an_operator_pause() -> None:
    assert "paused" not in says(Status.PENDING, breaker=OPERATOR_PAUSED)
    assert "recovery starts one after 2026-11-21T12:05" in says(Status.PENDING, breaker=OPERATOR_PAUSED)
    assert "api_key_expired" in says(Status.PENDING, breaker=GATEWAY_PAUSED)


@pytest.mark.parametrize("status", [Status.DECLINED, Status.REJECTED, Status.FAILED])
def test_what_now_starts_with_money_held_for_an_uncharged_payment(status: Status) -> None:
    held = GatewaySays("succeeded", "99.99 USD", "pi_1")
    assert "holds money" in what_now(facts_of(row(status), says=held))[0]
    assert "reported money" in what_now(facts_of(row(status), contradicted=True))[0]
    assert "holds money" not in says(status, says=GatewaySays("declined"))


def test_what_now_of_a_declined_charge_that_can_still_be_paid_says_cancel() -> None:
    """Rows of older code were declined without a cancel."""
    payable = GatewaySays(PAYABLE, code="lost_card", reference="pi_1")
    assert "cancel the charge in the gateway's dashboard" in says(Status.DECLINED, says=payable)


def test_what_now_names_the_unknown_status_and_both_ways_to_end_it() -> None:
    reported = "Stripe reports the status requires_capture"
    for text in (
        says(Status.UNKNOWN, says=GatewaySays(STRANGE, code=reported, reference="pi_1")),
        " ".join(what_now(facts_of(row(Status.UNKNOWN, code="unknown_status", message=reported)))),
    ):
        assert reported in text
        assert "Cancel the charge" in text
        assert "complete it there" in text
        assert "If it has no charge" not in text
    known = row(Status.UNKNOWN, code="unknown_status", message=reported)
    assert reported not in " ".join(what_now(facts_of(known, says=GatewaySays("succeeded"))))


def test_what_now_of_another_captured_charge_found_by_search_says_refund() -> None:
    two = GatewaySays("succeeded", reference="pi_1", others=("pi_2: captured",), captured_others=True)
    text = says(Status.SUCCEEDED, says=two)
    assert "another charge" in text
    assert "Nothing is left" not in text


def test_what_now_of_a_second_charge_never_says_that_nothing_is_left() -> None:
    text = says(Status.SUCCEEDED, contradicted=True)
    assert "another charge under this payment id" in text
    assert "Nothing is left" not in text


def test_what_now_questions_the_account_when_a_captured_charge_is_missing() -> None:
    assert "account and mode" in says(Status.SUCCEEDED, says=GatewaySays(NO_CHARGE))
    assert "account and mode" not in says(Status.FAILED, says=GatewaySays(NO_CHARGE))


def test_what_now_when_the_audit_log_does_not_verify_then_says_so() -> None:
    assert "entry 2 was changed" in says(Status.SUCCEEDED, audit_problem="entry 2 was changed")


def test_what_now_says_when_a_missing_audit_entry_is_written() -> None:
    unaudited = replace(row(Status.SUCCEEDED), audited_version=1)
    assert "recovery writes it after 2026-11-21T12:10" in " ".join(what_now(facts_of(unaudited)))


@pytest.mark.parametrize(("restarts", "minutes"), [(0, 5), (1, 10), (3, 40), (9, 60)])
def test_recovery_due_at_agrees_with_the_timeouts_after_restarts(restarts: int, minutes: int) -> None:
    waiting = replace(row(Status.UNKNOWN), restarts=restarts, restarted_at=iso(NOON) if restarts else "")
    due = recovery_due_at(waiting, RecoveryTimeouts())
    assert due == NOON + timedelta(minutes=minutes)
    assert RecoveryTimeouts().is_due(waiting, due)
    assert not RecoveryTimeouts().is_due(waiting, due - timedelta(seconds=1))
