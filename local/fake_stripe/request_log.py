"""The requests to the fake Stripe, and their rates."""

import threading
from collections import Counter, deque
from datetime import datetime
from typing import Any

from local.fake_stripe.clock_and_ids import Clock
from local.fake_stripe.recent import Recent

KEPT_REQUESTS = 100_000
_CHARGES = ("POST", "/v1/payment_intents")


class RequestLog:
    """The latest requests, and the rates of all charges since the start. Thread-safe."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._entries: deque[dict[str, Any]] = deque(maxlen=KEPT_REQUESTS)
        self._lock = threading.Lock()
        self._start()

    def _start(self) -> None:
        self._entries.clear()
        self._last_second = Recent()
        self._total = self._busiest = 0
        self._by_status: Counter[int] = Counter()
        self._first: datetime | None = None
        self._last: datetime | None = None

    def arrived(self, method: str, path: str) -> datetime:
        """Record the arrival of a request. Returns the time."""
        with self._lock:
            now = self._clock()
            if (method, path) == _CHARGES:
                self._total += 1
                self._busiest = max(self._busiest, self._last_second.add(now))
                self._first, self._last = self._first or now, now
            return now

    def answered(self, arrived: datetime, entry: dict[str, Any]) -> None:
        """Record an answer. Status 0 means no answer. `entry` contains no secret key and no parameters."""
        with self._lock:
            self._entries.append({"at": arrived.isoformat(timespec="microseconds")} | entry)
            if (entry["method"], entry["path"]) == _CHARGES:
                self._by_status[entry["status"]] += 1

    def entries(self) -> list[dict[str, Any]]:
        """The latest requests, in order of their answers. `at` is the time of arrival."""
        with self._lock:
            return list(self._entries)

    def rates(self) -> dict[str, Any]:
        """The number of charge requests, the numbers by HTTP status, and the maximum in any second."""
        with self._lock:
            return {
                "total": self._total,
                "by_status": {str(status): count for status, count in sorted(self._by_status.items())},
                "busiest_second": self._busiest,
                "first_at": self._first.isoformat(timespec="microseconds") if self._first else None,
                "last_at": self._last.isoformat(timespec="microseconds") if self._last else None,
            }

    def clear(self) -> None:
        """Return to the state after the start."""
        with self._lock:
            self._start()
