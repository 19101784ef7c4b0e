"""Misbehaviour on request: which fault strikes which request, how often, and the rate limit."""

import threading
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from local.gateway.clock_and_ids import Clock
from local.gateway.errors import rate_limited


class Kind(StrEnum):
    """What goes wrong. The road of a request in `stand_in.py` says where each strikes."""

    UNAUTHORIZED = "unauthorized"
    """401, as after a wrong or revoked key."""
    RATE_LIMITED = "rate_limited"
    """429 with `retry_after_seconds`."""
    KEY_IN_USE = "key_in_use"
    """409, as if another request with the key were still running."""
    SERVER_ERROR = "server_error"
    """500, remembered under the key; the charge goes through if `executes`."""
    ALTERED = "altered"
    """The answer has other `fields` than the stored object: another amount, an unheard-of status."""
    LATENCY = "latency"
    """The answer comes `seconds` late."""
    ANSWER_LOST = "answer_lost"
    """The connection closes without an answer; the charge goes through if `executes`."""


@dataclass(slots=True)
class Fault:
    """A fault for the next `times` requests of `payment_id` and `method` ("POST", "GET"); of all where empty."""

    kind: Kind
    payment_id: str = ""
    method: str = ""
    times: int = 1
    executes: bool = True
    seconds: float = 0.0
    retry_after_seconds: int = 1
    fields: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def parse(cls, body: dict[str, Any]) -> "Fault":
        """A fault from JSON. Raises ValueError that names what is wrong."""
        unknown = set(body) - set(cls.__slots__)
        if unknown:
            raise ValueError(f"unknown {', '.join(sorted(unknown))}; a fault has {', '.join(cls.__slots__)}")
        if not isinstance(body.get("times", 1), int) or body.get("times", 1) < 1:
            raise ValueError("times must be 1 or more")
        return cls(**{**body, "kind": Kind(body.get("kind", ""))})


Strikes = dict[Kind, Fault]
"""The faults that strike one request, by kind."""


class Faults:
    """The faults still to strike. Safe for several threads."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []
        self._lock = threading.Lock()

    def add(self, fault: Fault) -> None:
        """Let `fault` strike from now on."""
        with self._lock:
            self._faults.append(fault)

    def strike(self, method: str, payment_id: str) -> Strikes:
        """The faults for this request, the oldest of each kind, and count them down."""
        with self._lock:
            strikes: Strikes = {}
            for fault in self._faults:
                if fault.payment_id in ("", payment_id) and fault.method in ("", method):
                    strikes.setdefault(fault.kind, fault)
            for fault in strikes.values():
                fault.times -= 1
            self._faults = [fault for fault in self._faults if fault.times > 0]
            return strikes

    def clear(self) -> None:
        """Behave from now on."""
        with self._lock:
            self._faults.clear()

    def __iter__(self) -> Iterator[Fault]:
        with self._lock:
            return iter(list(self._faults))


class RateLimit:
    """At most `per_second` requests in any second; no limit while that is 0. Safe for several threads."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._recent: deque[datetime] = deque()
        self._lock = threading.Lock()
        self.per_second = 0

    def take(self) -> None:
        """Let a request through. Raises ApiError (429)."""
        if not self.per_second:
            return
        with self._lock:
            now = self._clock()
            while self._recent and now - self._recent[0] >= timedelta(seconds=1):
                self._recent.popleft()
            if len(self._recent) >= self.per_second:
                raise rate_limited(1)
            self._recent.append(now)
