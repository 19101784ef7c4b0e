"""A customer who saves cards, as the applied stack and the fake Stripe see one."""

import time
from typing import Any

import requests

from tests.e2e.conftest import Api, Gateway
from tests.waiting import eventually


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

    def save_first(self) -> dict[str, Any]:
        """Save a Visa card, and wait until Stripe's event made it the default. Returns the card."""
        self.save()
        first = "a saved card that is the default"
        [card] = eventually(first, self.cards, lambda cards: cards and cards[0]["default"], every=1)
        return card

    @property
    def at_stripe(self) -> str:
        """The id of the customer at Stripe."""
        found = self.stripe("GET", "customers?limit=100")["data"]
        [there] = [one["id"] for one in found if one["metadata"].get("customer_id") == self.customer_id]
        return str(there)

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
                method, url, data=form, auth=("sk_test_browser", ""), timeout=60
            ).json()
        return content
