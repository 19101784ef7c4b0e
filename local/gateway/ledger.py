"""What the stand-in remembers: payment intents and their charges, and how one becomes the other."""

import threading
from collections.abc import Callable
from itertools import islice

from local.gateway import amounts, objects, parameters
from local.gateway.cards import CARDS, NEEDS_AUTHENTICATION, Card
from local.gateway.clock_and_ids import Clock, NewId
from local.gateway.errors import ApiError, invalid, no_such
from local.gateway.objects import Json
from local.gateway.search import matches, parse

_CONFIRMABLE = ("requires_payment_method", "requires_confirmation", "requires_action")
_CANCELABLE = (*_CONFIRMABLE, "requires_capture", "processing")


class Ledger:
    """Payment intents and charges in memory, newest last. Every method is one atomic step for several threads.

    The API's operations take the nested request parameters and the id from the path, give the object that Stripe
    would answer, and raise ApiError.
    """

    def __init__(self, clock: Clock, new_id: NewId) -> None:
        self._clock = clock
        self._new_id = new_id
        self._intents: dict[str, Json] = {}
        self._charges: dict[str, Json] = {}
        self._lock = threading.Lock()

    def create(self, params: Json, _: str = "") -> Json:
        """POST /v1/payment_intents. Nothing is stored when a parameter fails validation."""
        parameters.check_create(params)
        amount = amounts.amount_of(params["amount"])
        amounts.check(amount, params["currency"])
        if params.get("payment_method"):
            _card(params["payment_method"])
        intent = objects.payment_intent(
            params,
            intent_id=self._new_id("pi"),
            secret=self._new_id("cs"),
            amount=amount,
            created=self._now(),
        )
        with self._lock:
            self._intents[intent["id"]] = intent
            if params.get("confirm") == "true":
                self._attempt(intent, params)
            return dict(intent)

    def retrieve(self, _: Json, intent_id: str) -> Json:
        """GET /v1/payment_intents/{id}."""
        with self._lock:
            return dict(self._intent(intent_id))

    def confirm(self, params: Json, intent_id: str) -> Json:
        """POST /v1/payment_intents/{id}/confirm."""
        with self._lock:
            intent = self._intent(intent_id, _CONFIRMABLE, "confirm")
            method = params.get("payment_method") or intent["payment_method"]
            if not method:
                raise parameters.missing_payment_method()
            _card(method)
            intent["payment_method"] = method
            self._attempt(intent, params)
            return dict(intent)

    def cancel(self, params: Json, intent_id: str) -> Json:
        """POST /v1/payment_intents/{id}/cancel."""
        with self._lock:
            intent = self._intent(intent_id, _CANCELABLE, "cancel")
            intent.update(
                status="canceled",
                amount_capturable=0,
                next_action=None,
                canceled_at=self._now(),
                cancellation_reason=params.get("cancellation_reason"),
            )
            return dict(intent)

    def capture(self, params: Json, intent_id: str) -> Json:
        """POST /v1/payment_intents/{id}/capture: the whole amount, or `amount_to_capture` of it."""
        with self._lock:
            intent = self._intent(intent_id, ("requires_capture",), "capture")
            amount = amounts.amount_of(params.get("amount_to_capture", str(intent["amount_capturable"])))
            if amount > intent["amount_capturable"]:
                raise invalid(
                    "The amount to capture exceeds what was authorized.",
                    param="amount_to_capture",
                    code="amount_too_large",
                )
            self._charges[intent["latest_charge"]].update(captured=True, amount_captured=amount)
            intent.update(status="succeeded", amount_received=amount, amount_capturable=0)
            return dict(intent)

    def intents(self, params: Json, _: str = "") -> Json:
        """GET /v1/payment_intents: newest first, by page."""
        return self._page("/v1/payment_intents", self._intents, params, lambda _: True)

    def charges(self, params: Json, _: str = "") -> Json:
        """GET /v1/charges: newest first, by page; of one `payment_intent` if given."""
        wanted = params.get("payment_intent")
        return self._page(
            "/v1/charges", self._charges, params, lambda charge: wanted in (None, charge["payment_intent"])
        )

    def charge(self, _: Json, charge_id: str) -> Json:
        """GET /v1/charges/{id}."""
        with self._lock:
            if charge_id not in self._charges:
                raise no_such("charge", charge_id, param="id")
            return dict(self._charges[charge_id])

    def search(self, params: Json, _: str = "") -> Json:
        """GET /v1/payment_intents/search. Always up to date, where Stripe's search may lag by a minute."""
        clauses = parse(params.get("query", ""))
        start, limit = parameters.page(params), parameters.limit(params)
        with self._lock:
            found = [dict(intent) for intent in reversed(self._intents.values()) if matches(intent, clauses)]
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
        """Every captured charge, oldest first, with the payment id in its metadata: the money invariants' count."""
        with self._lock:
            return [
                {
                    "id": charge["id"],
                    "payment_intent": charge["payment_intent"],
                    "amount": charge["amount_captured"],
                    "currency": charge["currency"],
                    "payment_id": charge["metadata"].get("payment_id", ""),
                }
                for charge in self._charges.values()
                if charge["captured"]
            ]

    def payment_id_of(self, intent_id: str) -> str:
        """The payment id in an intent's metadata; empty for an unknown intent."""
        with self._lock:
            intent = self._intents.get(intent_id)
            return str(intent["metadata"].get("payment_id", "")) if intent else ""

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._intents.clear()
            self._charges.clear()

    def _now(self) -> int:
        return int(self._clock().timestamp())

    def _intent(self, intent_id: str, allowed: tuple[str, ...] = (), verb: str = "") -> Json:
        intent = self._intents.get(intent_id)
        if intent is None:
            raise no_such("payment_intent", intent_id)
        if allowed and intent["status"] not in allowed:
            raise ApiError(
                400,
                f"You cannot {verb} this PaymentIntent because it has a status of {intent['status']}.",
                code="payment_intent_unexpected_state",
                payment_intent=dict(intent),
            )
        return intent

    def _attempt(self, intent: Json, params: Json) -> None:
        """Charge the intent's card. Raises ApiError (402) for a decline, with the intent in the body."""
        method = intent["payment_method"]
        card = CARDS[method]
        if card.authenticates and params.get("off_session") != "true":
            intent.update(status="requires_action", next_action={"type": "use_stripe_sdk", "use_stripe_sdk": {}})
            return
        card = NEEDS_AUTHENTICATION if card.authenticates else card
        charge = objects.charge(intent, card, charge_id=self._new_id("ch"), created=self._now())
        self._charges[charge["id"]] = charge
        intent.update(latest_charge=charge["id"], next_action=None, last_payment_error=None)
        if card.code:
            problem = objects.payment_error(card, charge_id=charge["id"], method=method)
            intent.update(status="requires_payment_method", payment_method=None, last_payment_error=problem)
            raise ApiError(402, **problem, payment_intent=dict(intent), headers={"Stripe-Should-Retry": "false"})
        if charge["captured"]:
            intent.update(status="succeeded", amount_received=intent["amount"])
        else:
            intent.update(status="requires_capture", amount_capturable=intent["amount"])

    def _page(self, url: str, stored: dict[str, Json], params: Json, keep: Callable[[Json], bool]) -> Json:
        limit, created = parameters.limit(params), parameters.created_filter(params)
        after = params.get("starting_after")
        with self._lock:
            newest_first = iter(reversed(stored.values()))
            if after and not any(item["id"] == after for item in newest_first):  # leaves those after it
                raise no_such("object", after, param="starting_after", status=400)
            kept = (dict(item) for item in newest_first if created(item["created"]) and keep(item))
            found = list(islice(kept, limit + 1))
        return {"object": "list", "url": url, "has_more": len(found) > limit, "data": found[:limit]}


def _card(method: str) -> Card:
    if method not in CARDS:
        raise no_such("PaymentMethod", method[:64], param="payment_method", status=400)
    return CARDS[method]
