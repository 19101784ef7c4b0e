"""The state of the fake Stripe: its objects by id."""

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import datetime
from itertools import islice

from local.fake_stripe import parameters
from local.fake_stripe.clock_and_ids import Clock, NewId
from local.fake_stripe.errors import ApiError, no_such
from local.fake_stripe.objects import Json

Emit = Callable[[str, Json, str], None]
"""Receives the type of an event, its object and the payment id of its intent, in order of the changes."""


class Store:
    """Objects by id, newest last. It keeps all of them, about 6 kB per payment, because tests add up the charges.

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
        self.customers: dict[str, Json] = {}
        self.methods: dict[str, Json] = {}
        self.setups: dict[str, Json] = {}
        self.live: set[str] = set()
        """The ids that exist in live mode, and not in the test mode that this server plays."""
        self._failures: Counter[str] = Counter()
        self._changed_at: dict[str, datetime] = {}
        # an index without case, as in search: finding one among a million must be fast
        self._of_payment: dict[str, list[Json]] = {}

    def now(self) -> int:
        """Unix seconds."""
        return int(self._clock().timestamp())

    def add(self, intent: Json) -> None:
        """Store a new intent and emit its event."""
        self.intents[intent["id"]] = intent
        self.index(intent)
        self.changed(intent, "payment_intent.created")

    def index(self, intent: Json) -> None:
        """Let `newest_first` find the intent by the payment id that it has now."""
        of_payment = self._of_payment.setdefault(intent["metadata"].get("payment_id", "").casefold(), [])
        if not any(other is intent for other in of_payment):
            of_payment.append(intent)

    def newest_first(self, payment_id: str | None) -> Iterator[Json]:
        """The intents that have or had this payment id, in upper or lower case, or all if it is None."""
        if payment_id is None:
            return reversed(self.intents.values())
        of_payment = self._of_payment.get(payment_id.casefold(), [])
        return (intent for intent in reversed(of_payment) if intent["id"] in self.intents)

    def age_seconds(self, object_id: str) -> float:
        """The time since the last change of an intent or a customer."""
        return (self._clock() - self._changed_at[object_id]).total_seconds()

    def emit(self, event: str, about: Json) -> None:
        """Send an event. Those of a refund do not name the payment, but are its events."""
        payment_id = self._payment_id(self.charges[about["charge"]] if about["object"] == "refund" else about)
        self._emit(event, dict(about), payment_id)

    def changed(self, changed: Json, event: str = "") -> None:
        """Record a change of an intent or a customer, and emit its event. No `event` means none."""
        self._changed_at[changed["id"]] = self._clock()
        if event:
            self.emit(event, changed)

    def failed_again(self, intent_id: str) -> int:
        """How often the payment of an intent failed, with this time."""
        self._failures[intent_id] += 1
        return self._failures[intent_id]

    def intent(self, intent_id: str, allowed: tuple[str, ...] = (), verb: str = "") -> Json:
        """A stored intent, which the caller may change. Raises ApiError if unknown or in another status."""
        return self._in_status("payment_intent", self.intents, intent_id, allowed, verb)

    def setup(self, setup_id: str, allowed: tuple[str, ...] = (), verb: str = "") -> Json:
        """The same for a setup intent."""
        return self._in_status("setup_intent", self.setups, setup_id, allowed, verb)

    def customer(self, customer_id: str) -> Json:
        """A stored customer, which the caller may change. Raises ApiError if unknown or deleted."""
        found = self.customers.get(customer_id)
        if found is None or found.get("deleted"):
            raise self.no_such("customer", customer_id)
        return found

    def customer_in(self, params: Json) -> str | None:
        """The customer that a request names, if it does. Raises ApiError if unknown or deleted."""
        named = str(params.get("customer") or "")
        if named and (named not in self.customers or self.customers[named].get("deleted")):
            raise self.no_such("customer", named[:64], param="customer", status=400)
        return named or None

    def no_such(self, kind: str, object_id: str, *, param: str = "id", status: int = 404) -> ApiError:
        """The error of an unknown object. It says so if the object exists in live mode."""
        return no_such(kind, object_id, param=param, status=status, live=object_id in self.live)

    def to_live(self, object_id: str) -> None:
        """Move an object to live mode, where a request with a test key does not find it. Takes the lock."""
        with self.lock:
            for stored in self._all():
                stored.pop(object_id, None)
            self.live.add(object_id)

    def copy(self, kind: str, stored: dict[str, Json], object_id: str, param: str = "id") -> Json:
        """A copy of one object. Takes the lock. Raises ApiError (404)."""
        with self.lock:
            if object_id not in stored:
                raise self.no_such(kind, object_id, param=param)
            return dict(stored[object_id])

    def get(self, object_id: str) -> Json:
        """A copy of the object with this id, of any kind. Takes the lock."""
        with self.lock:
            return next(dict(stored[object_id]) for stored in self._all() if object_id in stored)

    def page(self, url: str, stored: dict[str, Json], params: Json, **wanted: object) -> Json:
        """A page of the objects that match the `wanted` fields that are not None, newest first. Takes the lock."""
        limit, created = parameters.limit(params), parameters.created_filter(params)
        after, before = params.get("starting_after"), params.get("ending_before")
        with self.lock:
            # a page before an object is read from that object on, oldest first
            ordered = iter(stored.values() if before else reversed(stored.values()))
            cursor = before or after
            if cursor and not any(item["id"] == cursor for item in ordered):  # leaves the items after it
                raise self.no_such("object", cursor, param="ending_before" if before else "starting_after", status=400)
            kept = (
                dict(item)
                for item in ordered
                if created(item["created"]) and all(value in (None, item[name]) for name, value in wanted.items())
            )
            found = list(islice(kept, limit + 1))
        shown = found[:limit][::-1] if before else found[:limit]
        return {"object": "list", "url": url, "has_more": len(found) > limit, "data": shown}

    def payment_id_of(self, object_id: str) -> str:
        """The payment id in the metadata of an intent, charge or refund. Empty if unknown. Takes the lock."""
        with self.lock:
            refund = self.refunds.get(object_id)
            intent_id = refund["payment_intent"] if refund else object_id
            found = self.intents.get(intent_id) or self.charges.get(intent_id)
            return self._payment_id(found) if found else ""

    def clear(self) -> None:
        """Delete everything. Takes the lock."""
        with self.lock:
            for stored in self._all():
                stored.clear()
            self._failures.clear()
            self._changed_at.clear()
            self._of_payment.clear()
            self.live.clear()

    @staticmethod
    def _payment_id(about: Json) -> str:
        return str(about["metadata"].get("payment_id", ""))

    def _all(self) -> tuple[dict[str, Json], ...]:
        return (self.intents, self.charges, self.refunds, self.customers, self.methods, self.setups)

    def _in_status(
        self, kind: str, stored: dict[str, Json], intent_id: str, allowed: tuple[str, ...], verb: str
    ) -> Json:
        intent = stored.get(intent_id)
        if intent is None:
            raise self.no_such(kind.replace("setup_", "setup"), intent_id, param="intent")
        if allowed and intent["status"] not in allowed:
            name = "PaymentIntent" if kind == "payment_intent" else "SetupIntent"
            raise ApiError(
                400,
                f"You cannot {verb} this {name} because it has a status of {intent['status']}. Only a {name} with one "
                f"of the following statuses may be {verb.removesuffix('e')}ed: {', '.join(allowed)}.",
                begun=True,
                code=f"{kind}_unexpected_state",
                **{kind: dict(intent)},
            )
        return intent
