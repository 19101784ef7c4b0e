"""A saved card on the applied stack: set up, made the default by Stripe's event, charged, removed, erased."""

import time
from collections.abc import Callable
from typing import Any

import pytest
import requests

from tests.e2e.conftest import Api, Gateway, eventually

NewId = Callable[[], str]


class Saver:
    """A customer who saves cards. Requests that Stripe has no slot for are sent again, as a client does."""

    def __init__(self, api: Api, gateway: Gateway, customer_id: str) -> None:
        self._api = api
        self._gateway = gateway
        self.customer_id = customer_id
        self.path = f"/customers/{customer_id}"
        created = api.post({"customer_id": customer_id, "email": "jo@example.com"}, "/customers")
        assert created.status_code == 201, created.text

    def ask(self, method: str, path: str) -> requests.Response:
        """A request below the customer's path."""
        while True:
            answer = self._api.call(method, f"{self.path}{path}")
            if answer.status_code != 429:
                return answer
            time.sleep(int(answer.headers["Retry-After"]))

    def save(self, card: str = "pm_card_visa") -> None:
        """Set up a card and confirm it, as Stripe.js does in the customer's browser."""
        setup = self.ask("POST", "/setup")
        assert (setup.status_code, setup.headers["Cache-Control"]) == (201, "no-store")
        form = {"client_secret": setup.json()["client_secret"], "payment_method": card}
        answer = self.stripe("POST", f"setup_intents/{setup.json()['setup_id']}/confirm", form)
        assert answer["status"] == "succeeded"

    def cards(self) -> list[dict[str, Any]]:
        """The saved cards, newest first."""
        found: list[dict[str, Any]] = self.ask("GET", "/payment-methods").json()["payment_methods"]
        return found

    def pay(self, payment_id: str, **more: Any) -> dict[str, Any]:
        """Pay, and return the payment once it is settled or waits for its customer."""
        body = {"payment_id": payment_id, "amount": 12, "currency": "EUR", "customer_id": self.customer_id} | more
        assert self._api.post(body).status_code == 202
        return self._api.settled(payment_id)

    def stripe(self, method: str, path: str, form: dict[str, Any] | None = None) -> dict[str, Any]:
        """A request to the fake Stripe, as another client of the account."""
        url = f"{self._gateway.url}/v1/{path}"
        with requests.Session() as session:
            session.trust_env = False
            content: dict[str, Any] = session.request(
                method, url, data=form, auth=("sk_test_browser", ""), timeout=10
            ).json()
        return content


@pytest.mark.fault(52)
def test_saved_card_is_charged_by_default_removed_and_erased_at_stripe(
    api: Api, gateway: Gateway, new_id: NewId
) -> None:
    saver = Saver(api, gateway, new_id())
    saver.save()
    [card] = eventually(saver.cards, lambda cards: cards and cards[0]["default"], every=1)
    assert (card["brand"], card["last4"]) == ("visa", "4242")

    by_default = saver.pay(new_id(), off_session=True)
    assert (by_default["status"], by_default["off_session"]) == ("succeeded", True)
    intent = saver.stripe("GET", f"payment_intents/{by_default['references']['gateway_reference']}")
    assert intent["payment_method"] == card["id"]
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
    saver.save()
    eventually(saver.cards, lambda cards: cards and cards[0]["default"], every=1)
    waiting = saver.pay(new_id(), payment_method="pm_card_threeDSecureRequired", off_session=True)
    assert waiting["status"] == "requires_action"
    payment = eventually(
        lambda: api.get(f"/payments/{waiting['payment_id']}").json(), lambda view: "next_action" in view
    )
    action = payment["next_action"]

    form = {"client_secret": action["client_secret"], "payment_method": action["payment_method"]}
    intent = saver.stripe("POST", f"payment_intents/{payment['references']['gateway_reference']}/confirm", form)
    assert intent["status"] == "requires_action", intent
    page = {"payment_intent_client_secret": action["client_secret"], "outcome": "succeeded"}
    assert requests.post(f"{gateway.url}/3d_secure", page, timeout=10).status_code == 200

    paid = eventually(
        lambda: api.get(f"/payments/{waiting['payment_id']}").json(), lambda v: v["status"] == "succeeded"
    )
    assert len(gateway.charges(paid["payment_id"])) == 1
