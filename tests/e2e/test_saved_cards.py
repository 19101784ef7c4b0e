"""A saved card on the applied stack: set up, made the default by Stripe's event, charged, removed, erased."""

from collections.abc import Callable

import pytest
import requests

from tests.e2e.conftest import Api, Gateway
from tests.e2e.saver import Saver
from tests.waiting import eventually

NewId = Callable[[], str]


@pytest.mark.fault(52)
def test_saved_card_is_charged_by_default_removed_and_erased_at_stripe(
    api: Api, gateway: Gateway, new_id: NewId
) -> None:
    saver = Saver(api, gateway, new_id())
    card = saver.save_first()
    assert (card["brand"], card["last4"]) == ("visa", "4242")

    by_default = saver.pay(new_id(), off_session=True)
    assert (by_default["status"], by_default["off_session"]) == ("succeeded", True)
    intent = saver.stripe("GET", f"payment_intents/{by_default['references']['gateway_reference']}")
    assert intent["payment_method"] == card["id"]
    assert intent["customer"] == saver.at_stripe
    there = saver.stripe("GET", f"customers/{intent['customer']}")
    assert (there["metadata"]["customer_id"], there["email"]) == (saver.customer_id, None)
    assert saver.pay(new_id(), payment_method=card["id"])["status"] == "succeeded"

    without_its_customer = {"payment_id": new_id(), "amount": 12, "currency": "EUR", "payment_method": card["id"]}
    api.post(without_its_customer)
    assert api.settled(without_its_customer["payment_id"])["status"] == "rejected"

    assert saver.ask("DELETE", f"/payment-methods/{card['id']}").status_code == 204
    assert saver.cards() == []
    assert "default_payment_method" not in saver.ask("GET", "").json()
    refused = saver.pay(new_id(), payment_method=card["id"])
    assert (refused["status"], gateway.charges(refused["payment_id"])) == ("rejected", [])

    assert saver.ask("DELETE", "").status_code == 204
    assert saver.stripe("GET", f"customers/{intent['customer']}")["deleted"] is True


@pytest.mark.fault(17)
def test_absent_customer_whose_bank_asks_finishes_the_payment_later(api: Api, gateway: Gateway, new_id: NewId) -> None:
    saver = Saver(api, gateway, new_id())
    saver.save_first()
    card = saver.stripe("POST", "payment_methods/pm_card_threeDSecureRequired/attach", {"customer": saver.at_stripe})
    waiting = saver.pay(new_id(), payment_method=card["id"], off_session=True)
    assert waiting["status"] == "requires_action"
    path = f"/payments/{waiting['payment_id']}"
    payment = eventually("a next action", lambda: api.get(path).json(), lambda view: "next_action" in view)
    action = payment["next_action"]

    form = {"client_secret": action["client_secret"], "payment_method": action["payment_method"]}
    intent = saver.stripe("POST", f"payment_intents/{payment['references']['gateway_reference']}/confirm", form)
    assert intent["status"] == "requires_action", intent
    page = {"payment_intent_client_secret": action["client_secret"], "outcome": "succeeded"}
    assert requests.post(f"{gateway.url}/3d_secure", page, timeout=60).status_code == 200

    paid = eventually("a charge", lambda: api.get(path).json(), lambda view: view["status"] == "succeeded")
    assert len(gateway.charges(paid["payment_id"])) == 1
