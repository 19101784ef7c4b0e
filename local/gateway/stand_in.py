"""The road of one request through the stand-in, in the order in which Stripe decides."""

import base64
import binascii
import hashlib
import json
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from local.gateway.clock_and_ids import Clock, NewId, random_id, utc_now
from local.gateway.errors import ApiError, key_in_use, rate_limited, server_error, unauthorized
from local.gateway.faults import Faults, Kind, RateLimit, Strikes
from local.gateway.forms import items
from local.gateway.idempotency import Answer, IdempotencyKeys
from local.gateway.ledger import Ledger
from local.gateway.objects import Json
from local.gateway.search import parse

ACCEPTED_KEYS = "sk_test_"
"""Secret keys are accepted by this prefix: the stand-in is no place for a live key."""

Operation = Callable[[Ledger, Json, str], Json]


@dataclass(frozen=True, slots=True)
class ApiRequest:
    """A request as it came in: `params` nested, `object_id` from the path where there is one."""

    method: str
    path: str
    params: Json
    object_id: str = ""
    authorization: str = ""
    idempotency_key: str = ""

    @property
    def fingerprint(self) -> str:
        """What an idempotency key is bound to: the endpoint and its parameters."""
        return hashlib.sha256(f"{self.path}\n{json.dumps(self.params, sort_keys=True)}".encode()).hexdigest()

    @property
    def secret_key(self) -> str:
        """The key from `Authorization: Bearer <key>`, or the user of basic authentication."""
        scheme, _, credentials = self.authorization.partition(" ")
        if scheme.lower() != "basic":
            return credentials
        try:
            return base64.b64decode(credentials).decode().partition(":")[0]
        except (binascii.Error, UnicodeDecodeError):
            return ""


class AnswerLost(ConnectionAbortedError):
    """The connection must be closed without an answer."""


class StandIn:
    """Everything that the stand-in remembers, and `answer`, the road of each request."""

    def __init__(self, *, clock: Clock = utc_now, new_id: NewId = random_id) -> None:
        self._clock = clock
        self._new_id = new_id
        self._log: deque[Json] = deque(maxlen=100_000)
        self._log_lock = threading.Lock()
        self.ledger = Ledger(clock, new_id)
        self.keys = IdempotencyKeys(clock)
        self.faults = Faults()
        self.rate_limit = RateLimit(clock)

    def answer(self, request: ApiRequest, operation: Operation) -> Answer:
        """Authentication, rate limit, idempotency, execution: an error of each keeps the next from happening.

        Raises AnswerLost.
        """
        payment_id = self._payment_id(request)
        strikes = self.faults.strike(request.method, payment_id)
        try:
            self._admit(request, strikes)
            answer = self._once(request, operation, strikes)
        except ApiError as error:
            answer = self._as_error(error)
        self._remember(request, payment_id, answer)
        if Kind.ANSWER_LOST in strikes:
            raise AnswerLost
        return answer

    def requests(self) -> list[Json]:
        """Every request to the API, oldest first. Holds no secret key and no parameters."""
        with self._log_lock:
            return list(self._log)

    def reset(self) -> None:
        """As freshly started."""
        self.ledger.clear()
        self.keys.forget()
        self.faults.clear()
        self.rate_limit.per_second = 0
        with self._log_lock:
            self._log.clear()

    def _admit(self, request: ApiRequest, strikes: Strikes) -> None:
        key = request.secret_key
        if not key.startswith(ACCEPTED_KEYS) or Kind.UNAUTHORIZED in strikes:
            raise unauthorized(key)
        self.rate_limit.take()
        if Kind.RATE_LIMITED in strikes:
            raise rate_limited(strikes[Kind.RATE_LIMITED].retry_after_seconds)
        if Kind.KEY_IN_USE in strikes:
            raise key_in_use(request.idempotency_key)

    def _once(self, request: ApiRequest, operation: Operation, strikes: Strikes) -> Answer:
        """Execute, or replay what was answered under the idempotency key."""
        key = request.idempotency_key if request.method == "POST" else ""
        if not key:
            return self._execute(request, operation, strikes)
        saved = self.keys.begin(key, request.fingerprint)
        if saved:
            replayed = {"Idempotent-Replayed": "true", "Original-Request": saved.headers["Request-Id"]}
            return Answer(saved.status, saved.body, saved.headers | replayed | self._request_id())
        try:
            answer = self._execute(request, operation, strikes)
        except BaseException:
            self.keys.release(key)  # a parameter failed validation: Stripe saves nothing before execution begins
            raise
        self.keys.save(key, answer)
        return answer

    def _execute(self, request: ApiRequest, operation: Operation, strikes: Strikes) -> Answer:
        """Raises ApiError only for what was refused before it began; later errors are answers to remember."""
        broken, lost = strikes.get(Kind.SERVER_ERROR), strikes.get(Kind.ANSWER_LOST)
        if lost and not lost.executes:
            raise AnswerLost
        if broken is None or broken.executes:
            answer = self._carried_out(request, operation, strikes)
        if Kind.LATENCY in strikes:
            time.sleep(strikes[Kind.LATENCY].seconds)  # the idempotency key stays in use meanwhile
        return self._as_error(server_error()) if broken else answer

    def _carried_out(self, request: ApiRequest, operation: Operation, strikes: Strikes) -> Answer:
        try:
            content = operation(self.ledger, request.params, request.object_id)
        except ApiError as error:
            if error.status != 402:
                raise
            return self._as_error(error)
        fields = strikes[Kind.ALTERED].fields if Kind.ALTERED in strikes else {}
        return self._as_answer(200, self._expanded(_altered(content, fields), request), {})

    def _expanded(self, content: Json, request: ApiRequest) -> Json:
        for path in items(request.params.get("expand")):
            for item in content["data"] if path.startswith("data.") else [content]:
                name = path.removeprefix("data.")
                if name == "latest_charge" and item[name]:
                    item[name] = self.ledger.charge({}, item[name])
                elif name == "payment_intent" and item[name]:
                    item[name] = self.ledger.retrieve({}, item[name])
        return content

    def _payment_id(self, request: ApiRequest) -> str:
        """Our payment id, wherever the request names it: in metadata, by an intent's id, or in a search."""
        metadata = request.params.get("metadata")
        if isinstance(metadata, dict):
            return str(metadata.get("payment_id", ""))
        if "query" in request.params:
            try:
                clauses = parse(request.params["query"])
            except ApiError:
                return ""
            return next((value for _, key, value in clauses if key == "payment_id"), "")
        return self.ledger.payment_id_of(request.object_id)

    def _remember(self, request: ApiRequest, payment_id: str, answer: Answer) -> None:
        with self._log_lock:
            self._log.append(
                {
                    "at": self._clock().isoformat(),
                    "method": request.method,
                    "path": request.path,
                    "idempotency_key": request.idempotency_key,
                    "payment_id": payment_id,
                    "status": answer.status,
                    "replayed": "Idempotent-Replayed" in answer.headers,
                    "request_id": answer.headers["Request-Id"],
                }
            )

    def _as_answer(self, status: int, content: Json, headers: dict[str, str]) -> Answer:
        return Answer(status, json.dumps(content).encode(), headers | self._request_id())

    def _as_error(self, error: ApiError) -> Answer:
        return self._as_answer(error.status, error.body, error.headers)

    def _request_id(self) -> dict[str, str]:
        return {"Request-Id": self._new_id("req")}


def _altered(content: Json, fields: dict[str, Any]) -> Json:
    """The object, or each object of a list, with other fields than the stored ones."""
    if "data" in content:
        return content | {"data": [item | fields for item in content["data"]]}
    return content | fields
