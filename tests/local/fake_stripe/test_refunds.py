"""Refunds at the fake Stripe, driven by the official SDK."""

import threading
from collections.abc import Iterator
from typing import Any

import pytest
import stripe

from local.fake_stripe.faults import Fault, Kind
from tests.local.fake_stripe.test_app import Api, headers_of, serving


@pytest.fixture
def api() -> Iterator[Api]:
    with serving() as api:
        yield api


def refund(api: Api, intent: stripe.PaymentIntent, *, key: str = "", **params: Any) -> stripe.Refund:
    wanted: Any = {"payment_intent": intent.id, **params}
    return api.client().v1.refunds.create(wanted, options={"idempotency_key": key} if key else {})


def charge_of(api: Api, intent: stripe.PaymentIntent) -> stripe.Charge:
    return api.client().v1.charges.retrieve(str(intent.latest_charge))


def test_refund_when_no_amount_is_given_then_gives_back_the_whole_charge(api: Api) -> None:
    intent = api.pay()
    made = refund(api, intent, metadata={"refund_id": "r-1"}, reason="requested_by_customer")
    assert (made.status, made.amount, made.currency, made.charge) == ("succeeded", 9999, "usd", intent.latest_charge)
    assert made.metadata is not None
    assert made.metadata["refund_id"] == "r-1"
    charge = charge_of(api, intent)
    assert (charge.amount_refunded, charge.refunded) == (9999, True)
    assert api.control("GET", "charges")["data"][0]["amount_refunded"] == 9999
    assert [entry.amount for entry in api.client().v1.balance.retrieve().pending] == [0]


def test_partial_refunds_leave_the_rest_and_are_listed_newest_first(api: Api) -> None:
    intent, other = api.pay("pay-1"), api.pay("pay-2")
    first, second = refund(api, intent, amount=4000), refund(api, intent, amount=5000)
    refund(api, other)
    charge = charge_of(api, intent)
    assert (charge.amount_refunded, charge.refunded) == (9000, False)
    refunds = api.client().v1.refunds
    assert [found.id for found in refunds.list({"payment_intent": intent.id}).data] == [second.id, first.id]
    assert refunds.retrieve(first.id).amount == 4000
    expanded = refunds.retrieve(first.id, {"expand": ["charge", "payment_intent"]})
    assert isinstance(expanded.charge, stripe.Charge)
    assert isinstance(expanded.payment_intent, stripe.PaymentIntent)


@pytest.mark.parametrize(
    ("currency", "paid", "message"),
    [
        ("usd", 10000, r"Refund amount \(\$60.00\) is greater than unrefunded amount on charge \(\$40.00\)"),
        ("jpy", 10000, r"Refund amount \(6000 jpy\) is greater than unrefunded amount on charge \(4000 jpy\)"),
        ("kwd", 10000, r"Refund amount \(6.000 kwd\) is greater than unrefunded amount on charge \(4.000 kwd\)"),
    ],
)
def test_refund_above_the_rest_is_refused_with_stripes_message(
    api: Api, currency: str, paid: int, message: str
) -> None:
    intent = api.pay(amount=paid, currency=currency)
    refund(api, intent, amount=6000)
    with pytest.raises(stripe.InvalidRequestError, match=message) as caught:
        refund(api, intent, amount=6000)
    assert (caught.value.param, caught.value.code) == ("amount", None)
    assert charge_of(api, intent).amount_refunded == 6000


def test_refund_when_everything_was_refunded_then_says_so(api: Api) -> None:
    intent = api.pay()
    refund(api, intent)
    with pytest.raises(stripe.InvalidRequestError) as caught:
        refund(api, intent, amount=1)
    assert caught.value.code == "charge_already_refunded"


def test_refund_when_only_a_part_was_captured_then_never_gives_back_more(api: Api) -> None:
    intent = api.pay(capture_method="manual")
    with pytest.raises(stripe.InvalidRequestError, match="successful charge"):
        refund(api, intent)
    api.intents.capture(intent.id, {"amount_to_capture": 5000})
    with pytest.raises(stripe.InvalidRequestError, match="greater than unrefunded"):
        refund(api, intent, amount=5001)
    assert refund(api, intent).amount == 5000
    assert charge_of(api, intent).refunded


def test_refund_when_two_of_60_of_100_come_at_once_then_one_succeeds(api: Api) -> None:
    intent = api.pay(amount=10000)
    outcomes: list[str] = []

    def attempt() -> None:
        try:
            outcomes.append(str(refund(api, intent, amount=6000).status))
        except stripe.InvalidRequestError:
            outcomes.append("refused")

    threads = [threading.Thread(target=attempt) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["refused", "succeeded"]


@pytest.mark.fault(39)
def test_refund_retried_after_a_lost_answer_with_its_key_refunds_once(api: Api) -> None:
    intent = api.pay("pay-1")
    api.fake_stripe.faults.add(Fault(Kind.ANSWER_LOST, payment_id="pay-1"))
    with pytest.raises(stripe.APIConnectionError):
        refund(api, intent, key="r", amount=4000)
    again = refund(api, intent, key="r", amount=4000)
    assert headers_of(again)["Idempotent-Replayed"] == "true"
    assert charge_of(api, intent).amount_refunded == 4000
    assert {entry["payment_id"] for entry in api.control("GET", "requests")["data"]} == {"pay-1"}


@pytest.mark.parametrize(
    ("params", "code"),
    [
        ({}, None),
        ({"payment_intent": "pi_nope"}, "resource_missing"),
        ({"charge": "ch_nope"}, "resource_missing"),
        ({"charge": "ch_nope", "payment_intent": "pi_nope"}, None),
        ({"charge": "ch_nope", "teleport": "1"}, "parameter_unknown"),
        ({"charge": "ch_nope", "reason": "whim"}, None),
    ],
)
def test_refund_when_a_parameter_is_wrong_then_is_refused(api: Api, params: Any, code: str | None) -> None:
    with pytest.raises(stripe.InvalidRequestError) as caught:
        api.client().v1.refunds.create(params)
    assert (caught.value.http_status, caught.value.code) == (400, code)


def test_refund_when_the_charge_was_declined_then_is_refused(api: Api) -> None:
    with pytest.raises(stripe.CardError) as caught:
        api.pay(payment_method="pm_card_chargeDeclined")
    assert caught.value.error is not None
    with pytest.raises(stripe.InvalidRequestError, match="not captured"):
        api.client().v1.refunds.create({"charge": str(caught.value.error.charge)})
