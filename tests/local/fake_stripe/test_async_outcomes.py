"""Changes by customers and banks after the API answered: 3-D Secure, and late settlement."""

from collections.abc import Iterator

import pytest
import stripe

from tests.local.fake_stripe.test_app import Api, serving

AUTHENTICATES = "pm_card_threeDSecure2Required"


@pytest.fixture
def api() -> Iterator[Api]:
    with serving() as api:
        yield api


def end(api: Api, intent_id: str, how: str, outcome: str) -> tuple[int, str]:
    """Status and, if refused, the reason."""
    url = f"{api.url}/_stand_in/payment_intents/{intent_id}/{how}"
    answer = api.web.post(url, json={"outcome": outcome})
    return answer.status_code, answer.json().get("error", {}).get("message", "")


@pytest.mark.fault(17)
def test_authentication_when_passed_then_captures_the_charge(api: Api) -> None:
    waiting = api.pay(payment_method=AUTHENTICATES)
    assert end(api, waiting.id, "authenticate", "succeeded") == (200, "")
    paid = api.intents.retrieve(waiting.id)
    assert (paid.status, paid.amount_received, paid.next_action) == ("succeeded", 9999, None)
    assert [charge["payment_intent"] for charge in api.fake_stripe.ledger.captured()] == [waiting.id]


def test_failed_authentication_is_explained_and_another_card_may_pay(api: Api) -> None:
    waiting = api.pay(payment_method=AUTHENTICATES)
    assert end(api, waiting.id, "authenticate", "failed") == (200, "")
    failed = api.intents.retrieve(waiting.id)
    assert (failed.status, failed.payment_method) == ("requires_payment_method", None)
    assert failed.last_payment_error is not None
    assert failed.last_payment_error.code == "payment_intent_authentication_failure"
    assert api.fake_stripe.ledger.captured() == []
    paid = api.intents.confirm(waiting.id, {"payment_method": "pm_card_visa"})
    assert (paid.status, paid.last_payment_error) == ("succeeded", None)


def test_authentication_when_capture_is_manual_then_waits_for_capture(api: Api) -> None:
    waiting = api.pay(payment_method=AUTHENTICATES, capture_method="manual")
    end(api, waiting.id, "authenticate", "succeeded")
    assert api.intents.retrieve(waiting.id).status == "requires_capture"


def test_payment_settling_later_is_processing_and_captures_nothing_before(api: Api) -> None:
    pending = api.pay(metadata={"payment_id": "pay-1", "stand_in": "settles_later"})
    charge = api.client().v1.charges.retrieve(str(pending.latest_charge))
    assert (pending.status, pending.amount_received, charge.status) == ("processing", 0, "pending")
    assert api.fake_stripe.ledger.captured() == []
    assert end(api, pending.id, "settle", "succeeded") == (200, "")
    settled = api.intents.retrieve(pending.id)
    assert (settled.status, settled.amount_received) == ("succeeded", 9999)
    assert [charge["amount"] for charge in api.fake_stripe.ledger.captured()] == [9999]
    assert api.pay("pay-2").status == "succeeded"


def test_payment_when_settling_fails_then_takes_no_money_and_says_why(api: Api) -> None:
    pending = api.pay(metadata={"payment_id": "pay-1", "stand_in": "settles_later"})
    assert end(api, pending.id, "settle", "failed") == (200, "")
    failed = api.intents.retrieve(pending.id)
    assert failed.status == "requires_payment_method"
    assert failed.last_payment_error is not None
    assert failed.last_payment_error.code == "card_declined"
    assert api.client().v1.charges.retrieve(str(pending.latest_charge)).status == "failed"
    assert api.fake_stripe.ledger.captured() == []


def test_settles_later_fault_for_all_set_over_http_counts_the_charges(api: Api) -> None:
    api.control("POST", "faults", {"kind": "settles_later", "times": 2})
    with pytest.raises(stripe.CardError):
        api.pay(payment_method="pm_card_chargeDeclined")  # a declined card leaves nothing to settle
    assert [api.pay(f"pay-{number}").status for number in range(3)] == ["processing", "processing", "succeeded"]


@pytest.mark.parametrize("how", ["authenticate", "settle"])
def test_outcome_when_it_does_not_fit_then_is_refused_with_the_reason(api: Api, how: str) -> None:
    paid = api.pay()
    assert end(api, "pi_nope", how, "succeeded") == (404, "No such payment_intent: 'pi_nope'")
    status, reason = end(api, paid.id, how, "succeeded")
    assert status == 409
    assert f"{paid.id} is succeeded, not" in reason
    assert end(api, paid.id, how, "maybe") == (400, "outcome must be one of succeeded, failed")
