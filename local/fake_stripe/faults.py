"""Fault injection: which fault applies to which request or event, and how often."""

import sys
import threading
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from local.fake_stripe.errors import REFUSED


class Kind(StrEnum):
    """The kinds of faults. `app.py` defines where each one applies."""

    UNAUTHORIZED = "unauthorized"
    """401, as after a wrong or revoked key."""
    RATE_LIMITED = "rate_limited"
    """429 with `retry_after_seconds`."""
    REFUSED = "refused"
    """An answer of `REFUSED` in errors.py, by its `code`: about our key, our account, or an object in use."""
    KEY_IN_USE = "key_in_use"
    """409, as if another request with the key were in progress."""
    SERVER_ERROR = "server_error"
    """500, stored under the key. The charge is executed if `executes`."""
    ALTERED = "altered"
    """The answer has other `fields` than the stored object: another amount, an unknown status."""
    LATENCY = "latency"
    """The answer is `seconds` late."""
    ANSWER_LOST = "answer_lost"
    """The connection closes without an answer. The charge is executed if `executes`."""
    KEY_FORGOTTEN = "key_forgotten"
    """A repeated idempotency key is forgotten, as after 24 hours: the request is executed again."""
    SETTLES_LATER = "settles_later"
    """A successful charge remains `processing` until it is settled."""
    SEARCH_LAG = "search_lag"
    """Search does not show the payment's intents for `seconds` after a change."""
    SEARCH_REFUSED = "search_refused"
    """Search answers 400, as for an account in India."""
    WEBHOOK_LOST = "webhook_lost"
    """An event is never sent."""
    WEBHOOK_DOUBLED = "webhook_doubled"
    """An event is sent twice."""
    WEBHOOK_LATE = "webhook_late"
    """An event is sent `seconds` late."""
    WEBHOOK_REORDERED = "webhook_reordered"
    """An event is held until the payment's next event is delivered, for at most 5 seconds."""


REFUSALS = (Kind.UNAUTHORIZED, Kind.REFUSED, Kind.RATE_LIMITED, Kind.KEY_IN_USE)
"""In order of application. A rejected request gets no other fault."""

_OF_REQUESTS = frozenset({*REFUSALS, Kind.SERVER_ERROR, Kind.ALTERED, Kind.LATENCY, Kind.ANSWER_LOST})
_LASTING = frozenset(
    {
        Kind.SEARCH_LAG,
        Kind.SEARCH_REFUSED,
        Kind.WEBHOOK_LOST,
        Kind.WEBHOOK_DOUBLED,
        Kind.WEBHOOK_LATE,
        Kind.WEBHOOK_REORDERED,
    }
)
_SECONDS = {Kind.WEBHOOK_LATE: 5.0}
EVERY_TIME = sys.maxsize
_SEEN_AT_MOST = 100_000


@dataclass(slots=True)
class Fault:
    """A fault for the next `times` requests with this `payment_id` and `method` ("POST", "GET"). Empty means all."""

    kind: Kind
    payment_id: str = ""
    method: str = ""
    times: int = 1
    executes: bool = True
    seconds: float = 0.0
    retry_after_seconds: int = 1
    code: str = ""
    fields: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def parse(cls, body: dict[str, Any]) -> "Fault":
        """Parse a fault from JSON. Raises ValueError with the error.

        It applies once, unless `times` is higher. Faults of webhooks and searches of one payment apply every time.
        """
        unknown = set(body) - set(cls.__slots__)
        if unknown:
            raise ValueError(f"unknown {', '.join(sorted(unknown))}; a fault has {', '.join(cls.__slots__)}")
        if body.get("kind") not in list(Kind):
            raise ValueError(f"unknown kind; there are {', '.join(Kind)}")
        kind = Kind(body["kind"])
        lasts = kind in _LASTING and body.get("payment_id")
        given = {"times": EVERY_TIME if lasts else 1, "seconds": _SECONDS.get(kind, 0.0)} | body
        if not isinstance(given["times"], int) or given["times"] < 1:
            raise ValueError("times must be 1 or more")
        if (kind is Kind.REFUSED) != (given.get("code") in REFUSED):
            raise ValueError(f"only `refused` has a code, one of {', '.join(REFUSED)}")
        if not isinstance(given["seconds"], int | float) or given["seconds"] < 0:
            raise ValueError("seconds must be a number of at least 0")
        return cls(**{**given, "kind": kind})


Strikes = dict[Kind, Fault]
"""The faults that apply to one request, by kind."""


class Faults:
    """The active faults. Thread-safe."""

    def __init__(self) -> None:
        self._of_payment: dict[str, list[Fault]] = {}  # faults for all payments have the key ""
        self._seen: set[tuple[str, str]] = set()
        self._seen_in_order: deque[tuple[str, str]] = deque()
        self._lock = threading.Lock()

    def add(self, fault: Fault) -> None:
        """Activate a fault."""
        with self._lock:
            self._of_payment.setdefault(fault.payment_id, []).append(fault)

    def add_once(self, payment_id: str, source: str, faults: list[Fault]) -> None:
        """Add the faults in a request's own metadata, unless the same `source` added them before."""
        with self._lock:
            if (payment_id, source) in self._seen:
                return
            if len(self._seen) >= _SEEN_AT_MOST:
                self._seen.discard(self._seen_in_order.popleft())
            self._seen.add((payment_id, source))
            self._seen_in_order.append((payment_id, source))
            self._of_payment.setdefault(payment_id, []).extend(faults)

    def strike(self, method: str, payment_id: str) -> Strikes:
        """Return the faults for this request, the oldest of each kind, and count them down.

        The payment's own faults come before those for all payments. A rejection leaves the others for later requests.
        """
        with self._lock:
            strikes: Strikes = {}
            for fault in self._candidates(payment_id):
                if fault.kind in _OF_REQUESTS and fault.method in ("", method):
                    strikes.setdefault(fault.kind, fault)
            refusal = next((kind for kind in REFUSALS if kind in strikes), None)
            if refusal:
                strikes = {refusal: strikes[refusal]}
            for fault in strikes.values():
                self._count_down(fault)
            return strikes

    def take(self, kind: Kind, payment_id: str) -> Fault | None:
        """Return the oldest fault of this kind for the payment and count it down. None if there is none."""
        with self._lock:
            fault = next((fault for fault in self._candidates(payment_id) if fault.kind is kind), None)
            if fault:
                self._count_down(fault)
            return fault

    def lasting_fields(self, payment_id: str) -> dict[str, Any]:
        """The fields that are altered in every answer about this payment, and therefore also in its events."""
        with self._lock:
            altered = (
                fault.fields
                for fault in self._candidates(payment_id)
                if fault.kind is Kind.ALTERED and fault.times == EVERY_TIME
            )
            return next(altered, {})

    def clear(self) -> None:
        """Remove all faults."""
        with self._lock:
            self._of_payment.clear()
            self._seen.clear()
            self._seen_in_order.clear()

    def __iter__(self) -> Iterator[Fault]:
        with self._lock:
            return iter([fault for faults in self._of_payment.values() for fault in faults])

    def _candidates(self, payment_id: str) -> list[Fault]:
        own = self._of_payment.get(payment_id, []) if payment_id else []
        return own + self._of_payment.get("", [])

    def _count_down(self, fault: Fault) -> None:
        if fault.times == EVERY_TIME:
            return
        fault.times -= 1
        if fault.times == 0:
            faults = self._of_payment[fault.payment_id]
            faults[:] = [other for other in faults if other is not fault]
            if not faults:
                del self._of_payment[fault.payment_id]
