"""Processes one request, with the checks in the same order as Stripe."""

import base64
import binascii
import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from local.fake_stripe import fault_spec
from local.fake_stripe.accounts import Accounts
from local.fake_stripe.async_outcomes import AsyncOutcomes
from local.fake_stripe.clock_and_ids import Clock, NewId, random_id, utc_now
from local.fake_stripe.customers import Customers
from local.fake_stripe.errors import ApiError, invalid, key_in_use, rate_limited, refused, server_error, unauthorized
from local.fake_stripe.events import CAUSE, Cause
from local.fake_stripe.faults import Faults, Kind, Strikes
from local.fake_stripe.forms import items
from local.fake_stripe.idempotency import Answer, IdempotencyKeys
from local.fake_stripe.ledger import Ledger
from local.fake_stripe.objects import Json
from local.fake_stripe.payment_methods import PaymentMethods
from local.fake_stripe.rate_limits import RateLimits
from local.fake_stripe.refunds import Refunds
from local.fake_stripe.request_log import RequestLog
from local.fake_stripe.search import Search, parse
from local.fake_stripe.settings import Settings
from local.fake_stripe.setup_intents import SetupIntents
from local.fake_stripe.store import Store
from local.fake_stripe.webhooks import Webhooks

ACCEPTED_KEYS = ("sk_test_", "rk_test_")
"""Only secret and restricted keys with these prefixes are accepted: the fake Stripe must never receive a live key."""
PUBLISHABLE_KEYS = "pk_test_"
"""A browser has such a key. With the client secret of an intent, it may read and confirm this intent."""
_FOR_BROWSERS = ("GET", ""), ("POST", "/confirm")
_EXPANDABLE = (
    *("balance_transaction", "charge", "customer", "latest_charge", "payment_intent", "payment_method", "refunds"),
)

Operation = Callable[[Json, str], Json]
"""Executes a request with its parameters and the id from its path. Raises ApiError."""


@dataclass(frozen=True, slots=True)
class ApiRequest:
    """A received request. `params` is nested. `object_id` comes from the path, if it has one."""

    method: str
    path: str
    endpoint: str
    """The method and the path with `<object_id>` in place of an id."""
    params: Json
    object_id: str = ""
    authorization: str = ""
    idempotency_key: str = ""

    @property
    def fingerprint(self) -> str:
        """A hash of the endpoint and its parameters. An idempotency key is bound to it."""
        return hashlib.sha256(f"{self.path}\n{json.dumps(self.params, sort_keys=True)}".encode()).hexdigest()

    @property
    def api_key(self) -> str:
        """The key from `Authorization: Bearer <key>`, or the user of basic authentication."""
        scheme, _, credentials = self.authorization.partition(" ")
        if scheme.lower() != "basic":
            return credentials
        try:
            return base64.b64decode(credentials).decode().partition(":")[0]
        except (binascii.Error, UnicodeDecodeError):
            return ""

    @property
    def of_browser(self) -> bool:
        """True if a browser may make this request: it needs the client secret, or makes a payment method."""
        if self.endpoint == "POST /v1/payment_methods":
            return True
        intents = [f"/v1/{kind}_intents/<object_id>" for kind in ("payment", "setup")]
        allowed = [f"{method} {path}{end}" for path in intents for method, end in _FOR_BROWSERS]
        return self.endpoint in allowed and bool(self.params.get("client_secret"))


class AnswerLost(ConnectionAbortedError):
    """The connection must be closed without an answer."""


class FakeStripe:
    """The state of the fake Stripe, and `answer`, which processes each request."""

    def __init__(self, *, clock: Clock = utc_now, new_id: NewId = random_id) -> None:
        self._new_id = new_id
        self.settings = Settings()
        self.log = RequestLog(clock)
        self.faults = Faults()
        self.rate_limits = RateLimits(clock, self.settings)
        self.keys = IdempotencyKeys(clock, self.settings)
        self.webhooks = Webhooks(clock, new_id, self.faults, self.settings)
        self.store = Store(clock, new_id, self.webhooks.emit)
        self.methods = PaymentMethods(self.store)
        self.customers = Customers(self.store, self.methods)
        self.ledger = Ledger(self.store, self.methods, self.faults, self.settings)
        self.setups = SetupIntents(self.store, self.methods, self.ledger)
        self.accounts = Accounts(self.settings)
        self.refunds = Refunds(self.store, self.methods, self.settings)
        self.search = Search(self.store, self.faults, self.settings)
        self.async_outcomes = AsyncOutcomes(self.store, self.methods, self.ledger, self.setups)

    def answer(self, request: ApiRequest, operation: Operation) -> Answer:
        """Apply authentication, rate limit, idempotency and execution, in this order. An error skips the later steps.

        Raises AnswerLost.
        """
        arrived = self.log.arrived(request.method, request.path)
        cause = CAUSE.set(Cause(self._new_id("req"), request.idempotency_key, request.api_key))
        payment_id = self._payment_id(request)
        strikes: Strikes = {}
        answer: Answer | None = None
        try:
            self._admit(request)
            strikes = self._strikes(request, payment_id)
            self._refuse(request, strikes)
            answer = self._once(request, operation, strikes, payment_id)
        except ApiError as error:
            answer = self._as_error(error)
        finally:
            self._remember(request, payment_id, answer, arrived)
            CAUSE.reset(cause)
        if Kind.ANSWER_LOST in strikes:
            raise AnswerLost
        return answer

    def reset(self) -> None:
        """Return to the state after the start. This also removes the webhook endpoint."""
        self.webhooks.clear()
        self.refunds.clear()
        self.store.clear()
        self.methods.clear()
        self.rate_limits.clear()
        self.keys.forget()
        self.faults.clear()
        self.settings.reset()
        self.log.clear()

    def _admit(self, request: ApiRequest) -> None:
        key = request.api_key
        if not key.startswith(ACCEPTED_KEYS) and not (key.startswith(PUBLISHABLE_KEYS) and request.of_browser):
            raise unauthorized(key)
        self.rate_limits.take(request.endpoint, request.object_id)

    def _strikes(self, request: ApiRequest, payment_id: str) -> Strikes:
        """The faults for this request, including those in its metadata. Raises ApiError for an unknown fault."""
        metadata = request.params.get("metadata")
        wish = metadata.get(fault_spec.KEY) if request.method == "POST" and isinstance(metadata, dict) else None
        if wish:
            try:
                faults = fault_spec.faults_of(payment_id, str(wish))
            except ValueError as error:
                raise invalid(str(error), param=f"metadata[{fault_spec.KEY}]") from None
            self.faults.add_once(payment_id, f"{request.path} {wish}", faults)
        return self.faults.strike(request.method, payment_id)

    def _refuse(self, request: ApiRequest, strikes: Strikes) -> None:
        if Kind.UNAUTHORIZED in strikes:
            raise unauthorized(request.api_key)
        if Kind.REFUSED in strikes:
            raise refused(strikes[Kind.REFUSED].code)
        if Kind.RATE_LIMITED in strikes:
            raise rate_limited(strikes[Kind.RATE_LIMITED].retry_after_seconds)
        if Kind.KEY_IN_USE in strikes:
            raise key_in_use(request.idempotency_key)

    def _once(self, request: ApiRequest, operation: Operation, strikes: Strikes, payment_id: str) -> Answer:
        """Execute the request, or replay the answer stored under the idempotency key."""
        key = request.idempotency_key if request.method == "POST" else ""
        if not key:
            return self._execute(request, operation, strikes)
        if self.keys.answered(key) and self.faults.take(Kind.KEY_FORGOTTEN, payment_id):
            self.keys.release(key)
        saved = self.keys.begin(key, request.fingerprint)
        if saved:
            replayed = {"Idempotent-Replayed": "true", "Original-Request": saved.headers["Request-Id"]}
            return Answer(saved.status, saved.body, saved.headers | replayed | self._request_id())
        try:
            answer = self._execute(request, operation, strikes)
        except BaseException:
            self.keys.release(key)  # a parameter failed validation: Stripe saves no answer before execution starts
            raise
        self.keys.save(key, answer)
        return answer

    def _execute(self, request: ApiRequest, operation: Operation, strikes: Strikes) -> Answer:
        """Raises ApiError only for a request that is rejected before execution. Later errors are stored answers."""
        broken, lost = strikes.get(Kind.SERVER_ERROR), strikes.get(Kind.ANSWER_LOST)
        if lost and not lost.executes:
            raise AnswerLost
        if broken is None or broken.executes:
            answer = self._carried_out(request, operation, strikes)
        if Kind.LATENCY in strikes:
            time.sleep(strikes[Kind.LATENCY].seconds)  # the idempotency key remains in use during the wait
        return self._as_error(server_error()) if broken else answer

    def _carried_out(self, request: ApiRequest, operation: Operation, strikes: Strikes) -> Answer:
        paths = [path.removeprefix("data.").split(".") for path in items(request.params.get("expand"))]
        for path in paths:
            if not set(path) <= set(_EXPANDABLE):
                raise invalid(f"This property cannot be expanded ({'.'.join(path)[:64]}).", param="expand")
        try:
            content = operation(request.params, request.object_id)
        except ApiError as error:
            if not error.begun:
                raise
            return self._as_error(error)
        fields = strikes[Kind.ALTERED].fields if Kind.ALTERED in strikes else {}
        altered = _altered(content, fields)
        for item in altered.get("data", [altered]):
            for path in paths:
                self._expand(item, path)
        return self._as_answer(200, altered, {})

    def _expand(self, content: Json, path: list[str]) -> None:
        """Put the object in the place of its id."""
        name, *rest = path
        if name == "refunds" and content["object"] == "charge":
            content[name] = self.refunds.list({"charge": content["id"]})
        elif isinstance(content.get(name), str):
            content[name] = self.store.get(content[name])
        if rest and isinstance(content.get(name), dict):
            self._expand(content[name], rest)

    def _payment_id(self, request: ApiRequest) -> str:
        """Our payment id, from the request's metadata, an object's id, or a search query."""
        params = request.params
        metadata = params.get("metadata")
        if isinstance(metadata, dict) and metadata.get("payment_id"):
            return str(metadata["payment_id"])
        if "query" in params:
            try:
                return parse(params["query"]).payment_id
            except ApiError:
                return ""
        return self.store.payment_id_of(request.object_id or str(params.get("payment_intent") or params.get("charge")))

    def _remember(self, request: ApiRequest, payment_id: str, answer: Answer | None, arrived: datetime) -> None:
        self.log.answered(
            arrived,
            {
                "method": request.method,
                "path": request.path,
                "idempotency_key": request.idempotency_key,
                "payment_id": payment_id,
                "status": answer.status if answer else 0,
                "replayed": "Idempotent-Replayed" in answer.headers if answer else False,
                "request_id": CAUSE.get().request_id,
            },
        )

    def _as_answer(self, status: int, content: Json, headers: dict[str, str]) -> Answer:
        return Answer(status, json.dumps(content).encode(), headers | self._request_id())

    def _as_error(self, error: ApiError) -> Answer:
        return self._as_answer(error.status, error.body, error.headers)

    @staticmethod
    def _request_id() -> dict[str, str]:
        return {"Request-Id": CAUSE.get().request_id}


def _altered(content: Json, fields: dict[str, Any]) -> Json:
    """The object, or each object of a list, with some fields replaced."""
    if "data" in content:
        return content | {"data": [item | fields for item in content["data"]]}
    return content | fields
