"""Payment intents and charges: the operations of the API, and the outcome of a payment attempt."""

import secrets

from local.fake_stripe import amounts, objects, parameters
from local.fake_stripe.cards import CARDS, NEEDS_AUTHENTICATION, Card
from local.fake_stripe.errors import ApiError, invalid, no_such
from local.fake_stripe.faults import Faults, Kind
from local.fake_stripe.objects import Json
from local.fake_stripe.search import matches, parse, payment_id_in
from local.fake_stripe.settings import Settings
from local.fake_stripe.store import Store

_CONFIRMABLE = ("requires_payment_method", "requires_confirmation", "requires_action")
_CANCELABLE = (*_CONFIRMABLE, "requires_capture", "processing")


class Ledger:
    """Operations on the store. Every method is atomic and thread-safe.

    The operations of the API take the nested request parameters and the id from the path, return the object that Stripe
    returns, and raise ApiError.
    """

    def __init__(self, store: Store, faults: Faults, settings: Settings) -> None:
        self._store = store
        self._faults = faults
        self._settings = settings
        self.base_url = ""
        """The address of this server, which the addresses in its answers begin with."""

    def create(self, params: Json, _: str = "") -> Json:
        """POST /v1/payment_intents. Nothing is stored if a parameter fails validation."""
        parameters.check_create(params)
        amount = amounts.amount_of(params["amount"])
        amounts.check(amount, params["currency"])
        if params.get("payment_method"):
            amounts.check(amount, params["currency"], _card(params["payment_method"]).brand)
        intent = objects.payment_intent(
            params,
            intent_id=self._store.new_id("pi"),
            secret=self._store.new_id("cs"),
            amount=amount,
            created=self._store.now(),
        )
        with self._store.lock:
            self._store.add(intent)
            if params.get("confirm") == "true":
                self._attempt(intent, params)
            return dict(intent)

    def retrieve(self, _: Json, intent_id: str) -> Json:
        """GET /v1/payment_intents/{id}."""
        with self._store.lock:
            return dict(self._store.intent(intent_id))

    def of_secret(self, client_secret: str) -> Json:
        """The intent with this client secret. Raises ApiError."""
        intent_id = client_secret.partition("_secret_")[0]
        with self._store.lock:
            intent = self._store.intents.get(intent_id)
            if intent is None or not secrets.compare_digest(intent["client_secret"], client_secret):
                raise invalid("The client_secret provided does not match any PaymentIntent.", param="client_secret")
            return dict(intent)

    def confirm(self, params: Json, intent_id: str) -> Json:
        """POST /v1/payment_intents/{id}/confirm."""
        with self._store.lock:
            intent = self._store.intent(intent_id, _CONFIRMABLE, "confirm")
            method = params.get("payment_method") or intent["payment_method"]
            if not method:
                raise parameters.missing_payment_method()
            amounts.check(intent["amount"], intent["currency"], _card(method).brand)
            intent["payment_method"] = method
            self._attempt(intent, params)
            return dict(intent)

    def cancel(self, params: Json, intent_id: str) -> Json:
        """POST /v1/payment_intents/{id}/cancel."""
        with self._store.lock:
            intent = self._store.intent(intent_id, _CANCELABLE, "cancel")
            intent.update(
                status="canceled",
                amount_capturable=0,
                next_action=None,
                canceled_at=self._store.now(),
                cancellation_reason=params.get("cancellation_reason"),
            )
            self._store.changed(intent, "canceled")
            return dict(intent)

    def capture(self, params: Json, intent_id: str) -> Json:
        """POST /v1/payment_intents/{id}/capture: the whole amount, or `amount_to_capture` of it."""
        with self._store.lock:
            intent = self._store.intent(intent_id, ("requires_capture",), "capture")
            amount = amounts.amount_of(params.get("amount_to_capture", str(intent["amount_capturable"])))
            if amount > intent["amount_capturable"]:
                raise invalid(
                    "The amount to capture exceeds what was authorized.",
                    param="amount_to_capture",
                    code="amount_too_large",
                )
            charge = self._store.charges[intent["latest_charge"]]
            charge.update(captured=True, amount_captured=amount)
            self.paid(intent, charge)
            return dict(intent)

    def intents(self, params: Json, _: str = "") -> Json:
        """GET /v1/payment_intents: newest first, paged."""
        return self._store.page("/v1/payment_intents", self._store.intents, params)

    def charges(self, params: Json, _: str = "") -> Json:
        """GET /v1/charges: newest first, paged, optionally of one `payment_intent`."""
        wanted = params.get("payment_intent")
        return self._store.page("/v1/charges", self._store.charges, params, payment_intent=wanted)

    def charge(self, _: Json, charge_id: str) -> Json:
        """GET /v1/charges/{id}."""
        return self._store.copy("charge", self._store.charges, charge_id)

    def search(self, params: Json, _: str = "") -> Json:
        """GET /v1/payment_intents/search. It lags behind by the time in the settings and faults."""
        clauses = parse(params.get("query", ""))
        if self._faults.take(Kind.SEARCH_REFUSED, payment_id_in(clauses) or ""):
            raise invalid("The search feature is temporarily unavailable in your region.")
        start, limit = parameters.page(params), parameters.limit(params)
        with self._store.lock:
            candidates = self._store.newest_first(payment_id_in(clauses))
            found = [dict(intent) for intent in candidates if matches(intent, clauses) and self._indexed(intent)]
        more = len(found) > start + limit
        return {
            "object": "search_result",
            "url": "/v1/payment_intents/search",
            "has_more": more,
            "next_page": str(start + limit) if more else None,
            "data": found[start : start + limit],
        }

    def account(self, _: Json, __: str = "") -> Json:
        """GET /v1/account."""
        return dict(objects.ACCOUNT)

    def balance(self, _: Json, __: str = "") -> Json:
        """GET /v1/balance."""
        return objects.balance(self.captured())

    def captured(self) -> list[Json]:
        """Every captured charge, oldest first, with the payment id of its metadata. Tests check the totals."""
        with self._store.lock:
            return [
                {
                    "id": charge["id"],
                    "payment_intent": charge["payment_intent"],
                    "amount": charge["amount_captured"],
                    "amount_refunded": charge["amount_refunded"],
                    "currency": charge["currency"],
                    "payment_id": charge["metadata"].get("payment_id", ""),
                }
                for charge in self._store.charges.values()
                if charge["captured"]
            ]

    def charge_card(self, intent: Json, card: Card) -> None:
        """Charge `card` for a stored intent. The caller holds the lock of the store.

        Raises ApiError (402) for a decline, with the intent in the body.
        """
        method = intent["payment_method"]
        charge = objects.charge(intent, card, charge_id=self._store.new_id("ch"), created=self._store.now())
        self._store.charges[charge["id"]] = charge
        intent.update(latest_charge=charge["id"], next_action=None, last_payment_error=None)
        if card.code:
            problem = objects.payment_error(card, charge_id=charge["id"], method=method)
            intent.update(status="requires_payment_method", payment_method=None, last_payment_error=problem)
            self._store.changed(intent, "payment_failed")
            raise ApiError(402, **problem, payment_intent=dict(intent), headers={"Stripe-Should-Retry": "false"})
        if self._faults.take(Kind.SETTLES_LATER, intent["metadata"].get("payment_id", "")):
            objects.unsettle(charge)
            intent.update(status="processing")
            self._store.changed(intent, "processing")
        else:
            self.paid(intent, charge)

    def paid(self, intent: Json, charge: Json) -> None:
        """Apply a successful charge: it pays the intent, or waits for its capture."""
        if charge["captured"]:
            intent.update(status="succeeded", amount_received=charge["amount_captured"], amount_capturable=0)
            self._store.changed(intent, "succeeded")
        else:
            intent.update(status="requires_capture", amount_capturable=intent["amount"])
            self._store.changed(intent, "amount_capturable_updated")

    def _attempt(self, intent: Json, params: Json) -> None:
        card = CARDS[intent["payment_method"]]
        if card.authenticates and params.get("off_session") != "true":
            action = objects.authentication(intent, self.base_url, params.get("return_url", ""))
            intent.update(status="requires_action", next_action=action)
            self._store.changed(intent, "requires_action")
        else:
            self.charge_card(intent, NEEDS_AUTHENTICATION if card.authenticates else card)

    def _indexed(self, intent: Json) -> bool:
        """True if search already shows the intent."""
        fault = self._faults.take(Kind.SEARCH_LAG, intent["metadata"].get("payment_id", ""))
        lag_seconds = max(self._settings.search_lag_seconds, fault.seconds if fault else 0)
        return self._store.age_seconds(intent["id"]) >= lag_seconds


def _card(method: str) -> Card:
    if method not in CARDS:
        raise no_such("PaymentMethod", method[:64], param="payment_method", status=400)
    return CARDS[method]
