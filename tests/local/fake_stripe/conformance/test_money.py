"""Amounts, refunds, cancellations and events of the fake Stripe, named in local/fake_stripe/README.md."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
import stripe

from tests.local.fake_stripe.conformance.answers import Refusal, error_of, refusal_of
from tests.local.fake_stripe.test_app import Api
from tests.local.fake_stripe.test_webhooks import Receiver, receiving
from tests.waiting import eventually

SECRET = "whsec_conformance"


@pytest.fixture
def receiver(api: Api) -> Iterator[Receiver]:
    """An endpoint that receives all events. A delivery is repeated after 10 ms, for the first time."""
    with receiving() as receiver:
        api.control("POST", "webhooks", {"url": receiver.url, "secrets": [SECRET]})
        api.control("POST", "settings", {"webhook_retry_seconds": 0.01})
        yield receiver
        api.control("DELETE", "webhooks")


def wait_for(happened: Callable[[], bool]) -> None:
    eventually("what the test waits for", happened, every=0.005)


def refund(api: Api, intent: stripe.PaymentIntent, **params: Any) -> stripe.Refund:
    wanted: Any = {"payment_intent": intent.id, **params}
    return api.client().v1.refunds.create(wanted)


def charge_of(api: Api, intent: stripe.PaymentIntent) -> stripe.Charge:
    return api.client().v1.charges.retrieve(str(intent.latest_charge))


# Amounts ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("currency", "least"),
    [("usd", 50), ("gbp", 30), ("jpy", 50), ("huf", 17500), ("czk", 1500), ("hkd", 400), ("mxn", 1000), ("sek", 300)],
)
def test_minimum_is_that_of_the_currency(api: Api, currency: str, least: int) -> None:
    too_small = refusal_of(lambda: api.pay(amount=least - 1, currency=currency))
    assert too_small == Refusal(400, "amount_too_small", "amount")
    assert api.pay(amount=least, currency=currency).amount_received == least


@pytest.mark.parametrize(("currency", "most"), [("usd", 99_999_999), ("idr", 999_999_999_999)])
def test_maximum_has_8_digits_and_12_in_idr(api: Api, currency: str, most: int) -> None:
    assert refusal_of(lambda: api.pay(amount=most + 1, currency=currency)).code == "amount_too_large"
    assert api.pay(amount=most, currency=currency).amount_received == most


@pytest.mark.parametrize(
    ("currency", "right", "wrong"),
    [
        ("isk", 10_000, 10_001),
        ("ugx", 1_000_000, 1_000_050),
        ("kwd", 5120, 5124),
        ("huf", 17_501, None),  # only payouts in HUF and TWD are whole
        ("twd", 80_001, None),
        ("mga", 10_001, None),
        ("jpy", 501, None),
    ],
)
def test_special_currencies_have_their_steps(api: Api, currency: str, right: int, wrong: int | None) -> None:
    assert api.pay(amount=right, currency=currency).status == "succeeded"
    if wrong:
        assert refusal_of(lambda: api.pay(amount=wrong, currency=currency)).code == "invalid_charge_amount"


# Capture and cancellation ------------------------------------------------------------------------------------------


def test_authorized_charge_looks_successful_and_moves_no_money(api: Api) -> None:
    intent = api.pay(capture_method="manual")
    charge = charge_of(api, intent)
    assert (intent.status, intent.amount_received, intent.amount_capturable) == ("requires_capture", 0, 9999)
    assert (charge.status, charge.paid, charge.captured) == ("succeeded", True, False)


@pytest.mark.parametrize("status", ["requires_payment_method", "requires_confirmation", "requires_action"])
def test_cancel_ends_an_intent_that_is_not_paid(api: Api, status: str) -> None:
    card = {"requires_payment_method": None, "requires_action": "pm_card_threeDSecure2Required"}
    intent = api.pay(payment_method=card.get(status, "pm_card_visa"), confirm=status == "requires_action")
    assert intent.status == status
    canceled = api.intents.cancel(intent.id, {"cancellation_reason": "abandoned"})
    assert (canceled.status, canceled.cancellation_reason, canceled.next_action) == ("canceled", "abandoned", None)
    assert refusal_of(lambda: api.intents.confirm(intent.id, {"payment_method": "pm_card_visa"})).status == 400


def test_cancel_of_an_authorized_intent_releases_the_money(api: Api) -> None:
    intent = api.pay(capture_method="manual")
    assert api.intents.cancel(intent.id).status == "canceled"
    assert charge_of(api, intent).refunded
    assert refusal_of(lambda: api.intents.capture(intent.id)).code == "payment_intent_unexpected_state"


def test_cancel_of_a_captured_or_processing_intent_is_refused(api: Api) -> None:
    captured = api.pay()
    processing = api.pay(metadata={"payment_id": "pay-2", "stand_in": "settles_later"})
    for intent in (captured, processing):
        error = error_of(partial(api.intents.cancel, intent.id))
        assert (error.http_status, error.code) == (400, "payment_intent_unexpected_state")
        assert error.error.payment_intent.id == intent.id
    reason: Any = {"cancellation_reason": "automatic"}  # Stripe's own
    assert refusal_of(lambda: api.intents.cancel(captured.id, reason)).param == "cancellation_reason"


# Refunds -----------------------------------------------------------------------------------------------------------


def test_second_partial_refund_adds_to_the_first(api: Api) -> None:
    intent = api.pay()
    refund(api, intent, amount=4000)
    assert (charge_of(api, intent).amount_refunded, charge_of(api, intent).refunded) == (4000, False)
    refund(api, intent, amount=5999)
    assert (charge_of(api, intent).amount_refunded, charge_of(api, intent).refunded) == (9999, True)
    assert api.intents.retrieve(intent.id).status == "succeeded"
    assert refusal_of(lambda: refund(api, intent)) == Refusal(400, "charge_already_refunded", None)


def test_refund_of_too_much_is_refused_without_a_code(api: Api) -> None:
    intent = api.pay()
    refund(api, intent, amount=4000)
    error = error_of(lambda: refund(api, intent, amount=6000))
    assert (error.http_status, error.code, error.error.param) == (400, None, "amount")
    assert error.error.message == "Refund amount ($60.00) is greater than unrefunded amount on charge ($59.99)"


def test_refund_that_succeeded_may_fail_later(api: Api, receiver: Receiver) -> None:
    api.control("POST", "settings", {"refund_outcome_seconds": 0.01})
    intent = api.pay(payment_method="pm_card_refundFail")
    made = refund(api, intent)
    assert made.status == "succeeded"
    refunds = api.client().v1.refunds
    wait_for(lambda: refunds.retrieve(made.id).status == "failed")
    failed = refunds.retrieve(made.id)
    assert (failed.failure_reason, bool(failed.failure_balance_transaction)) == ("lost_or_stolen_card", True)
    assert (charge_of(api, intent).amount_refunded, charge_of(api, intent).refunded) == (0, False)
    wait_for(lambda: "refund.failed" in receiver.types)
    assert refund(api, intent, amount=1).status == "succeeded"


def test_refund_may_be_pending_before_it_succeeds(api: Api) -> None:
    api.control("POST", "settings", {"refund_outcome_seconds": 1000})
    intent = api.pay(payment_method="pm_card_pendingRefund")
    made = refund(api, intent)
    assert (made.status, made.pending_reason, charge_of(api, intent).refunded) == ("pending", "processing", True)
    api.control("POST", f"refunds/{made.id}/end", {"outcome": "succeeded"})
    assert api.client().v1.refunds.retrieve(made.id).status == "succeeded"


def test_refund_of_a_card_cannot_be_canceled(api: Api) -> None:
    made = refund(api, api.pay())
    assert error_of(lambda: api.client().v1.refunds.cancel(made.id)).http_status == 400


# Events ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("card", "types"),
    [
        ("pm_card_visa", ["created", "charge.succeeded", "succeeded"]),
        ("pm_card_chargeDeclined", ["created", "charge.failed", "payment_failed"]),
    ],
)
def test_payment_sends_the_events_of_its_intent_and_charge(
    api: Api, receiver: Receiver, card: str, types: list[str]
) -> None:
    try:
        api.pay(payment_method=card, key="k")
    except stripe.CardError:
        assert card == "pm_card_chargeDeclined"
    wait_for(lambda: len(receiver.types) == 3)
    assert receiver.types == types
    assert {event["request"]["idempotency_key"] for event in receiver.events} == {"k"}


def test_capture_and_refund_send_their_events(api: Api, receiver: Receiver) -> None:
    intent = api.pay(capture_method="manual")
    api.intents.capture(intent.id)
    refund(api, intent, amount=1)
    wait_for(lambda: len(receiver.types) == 7)
    assert receiver.types == [
        "created",
        "charge.succeeded",
        "amount_capturable_updated",
        "charge.captured",
        "succeeded",
        "refund.created",
        "charge.refunded",
    ]


def test_saved_card_sends_the_events_of_its_setup(api: Api, receiver: Receiver) -> None:
    v1 = api.client().v1
    owner = v1.customers.create().id
    cards: Any = [
        {"customer": owner, "confirm": True, "payment_method_types": ["card"], "payment_method": f"pm_card_{card}"}
        for card in ("visa", "threeDSecureRequired")
    ]
    _, waiting = (v1.setup_intents.create(card) for card in cards)
    api.control("POST", f"setup_intents/{waiting.id}/authenticate", {"outcome": "failed"})
    wait_for(lambda: len(receiver.types) == 7)
    assert sorted(receiver.types) == [
        "customer.created",
        "payment_method.attached",
        "setup_intent.created",
        "setup_intent.created",
        "setup_intent.requires_action",
        "setup_intent.setup_failed",
        "setup_intent.succeeded",
    ]


def test_event_is_signed_and_a_changed_or_old_one_is_refused(api: Api, receiver: Receiver) -> None:
    api.pay()
    wait_for(lambda: len(receiver.types) == 3)
    body, signature = receiver.bodies[0], receiver.signatures[0]
    verify = stripe.WebhookSignature.verify_header
    assert verify(body, signature, SECRET)
    for wrong in (body + b" ", body.replace(b"usd", b"eur")):
        with pytest.raises(stripe.SignatureVerificationError):
            verify(wrong, signature, SECRET)
    with pytest.raises(stripe.SignatureVerificationError):
        verify(body, signature, SECRET, tolerance=300)  # the clock of these tests stands in the past


def test_delivery_is_repeated_until_it_is_answered_with_2xx(api: Api, receiver: Receiver) -> None:
    receiver.statuses = [500, 302, 404]
    api.pay(confirm=False)
    wait_for(lambda: len(receiver.types) == 4)
    assert {event["id"] for event in receiver.events} == {receiver.events[0]["id"]}
    [event] = api.control("GET", "webhooks")["data"]
    wait_for(lambda: bool(api.control("GET", "webhooks")["data"][0]["delivered"]))
    assert event["type"] == "payment_intent.created"
