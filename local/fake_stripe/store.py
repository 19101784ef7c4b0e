"""The state of the fake Stripe: payment intents, their charges and refunds."""

import threading
from collections.abc import Callable, Iterator
from datetime import datetime
from itertools import islice
from typing import Any

from local.fake_stripe import parameters
from local.fake_stripe.clock_and_ids import Clock, NewId
from local.fake_stripe.errors import ApiError, no_such
from local.fake_stripe.objects import Json

Emit = Callable[[str, Json], None]
"""Receives the type of an event and its object, in order of the changes."""


class Store:
    """Intents, charges and refunds by id, newest last. It keeps all of them, about 4 kB per payment, because tests add
    up the charges.

    Callers must hold `lock`, except for the methods whose docstring says that they take the lock.
    """

    def __init__(self, clock: Clock, new_id: NewId, emit: Emit) -> None:
        self._clock = clock
        self._emit = emit
        self.new_id = new_id
        self.lock = threading.RLock()
        self.intents: dict[str, Json] = {}
        self.charges: dict[str, Json] = {}
        self.refunds: dict[str, Json] = {}
        self.changed_at: dict[str, datetime] = {}
        """The time of the last change of each intent, by id."""
        # an index without case, as in search: finding one among a million must be fast
        self._of_payment: dict[str, list[Json]] = {}

    def now(self) -> int:
        """Unix seconds."""
        return int(self._clock().timestamp())

    def add(self, intent: Json) -> None:
        """Store a new intent and emit its event."""
        self.intents[intent["id"]] = intent
        self._of_payment.setdefault(intent["metadata"].get("payment_id", "").casefold(), []).append(intent)
        self.changed(intent, "created")

    def newest_first(self, payment_id: str | None) -> Iterator[Json]:
        """The intents whose payment id is `payment_id`, in upper or lower case, or all if it is None."""
        if payment_id is None:
            return reversed(self.intents.values())
        return reversed(self._of_payment.get(payment_id.casefold(), []))

    def age_seconds(self, intent_id: str) -> float:
        """The time since the intent's last change."""
        return (self._clock() - self.changed_at[intent_id]).total_seconds()

    def changed(self, intent: Json, event: str) -> None:
        """Record a change of `intent` and emit its event. `event` is the end of the event's type."""
        self.changed_at[intent["id"]] = self._clock()
        self._emit(f"payment_intent.{event}", dict(intent))

    def refunded(self, charge: Json) -> None:
        """Emit the event of a refund of `charge`."""
        self._emit("charge.refunded", dict(charge))

    def intent(self, intent_id: str, allowed: tuple[str, ...] = (), verb: str = "") -> Json:
        """A stored intent, which the caller may change. Raises ApiError if unknown or in another status."""
        intent = self.intents.get(intent_id)
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

    def copy(self, kind: str, stored: dict[str, Json], object_id: str) -> Json:
        """A copy of one object. Takes the lock. Raises ApiError (404)."""
        with self.lock:
            if object_id not in stored:
                raise no_such(kind, object_id, param="id")
            return dict(stored[object_id])

    def page(self, url: str, stored: dict[str, Json], params: Json, **wanted: object) -> Json:
        """A page of the objects that match the `wanted` fields that are not None, newest first. Takes the lock."""
        limit, created = parameters.limit(params), parameters.created_filter(params)
        after = params.get("starting_after")
        with self.lock:
            newest_first = iter(reversed(stored.values()))
            if after and not any(item["id"] == after for item in newest_first):  # leaves the items after it
                raise no_such("object", after, param="starting_after", status=400)
            kept = (
                dict(item)
                for item in newest_first
                if created(item["created"]) and all(value in (None, item[name]) for name, value in wanted.items())
            )
            found = list(islice(kept, limit + 1))
        return {"object": "list", "url": url, "has_more": len(found) > limit, "data": found[:limit]}

    def payment_id_of(self, object_id: str) -> str:
        """The payment id in the metadata of an intent, charge or refund. Empty if unknown. Takes the lock."""
        with self.lock:
            refund = self.refunds.get(object_id)
            intent_id = refund["payment_intent"] if refund else object_id
            found = self.intents.get(intent_id) or self.charges.get(intent_id)
            return str(found["metadata"].get("payment_id", "")) if found else ""

    def clear(self) -> None:
        """Delete everything. Takes the lock."""
        with self.lock:
            stored: dict[str, Any]
            for stored in (self.intents, self.charges, self.refunds, self.changed_at, self._of_payment):
                stored.clear()
