"""Stripe's idempotency layer (docs.stripe.com/api/idempotent_requests, docs.stripe.com/error-low-level)."""

import threading
from dataclasses import dataclass
from datetime import datetime, timedelta

from local.gateway.clock_and_ids import Clock
from local.gateway.errors import key_in_use, key_reused

KEPT_FOR = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer: the body is JSON."""

    status: int
    body: bytes
    headers: dict[str, str]


@dataclass(slots=True)
class _Entry:
    fingerprint: str
    first_used: datetime
    answer: Answer | None = None  # None while the first request is being executed


class IdempotencyKeys:
    """What was answered under each key in the last 24 hours. Safe for several threads."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._entries: dict[str, _Entry] = {}
        self._lock = threading.Lock()

    def begin(self, key: str, fingerprint: str) -> Answer | None:
        """The saved answer, or None: then the caller executes and must call `save` or `release`.

        Raises ApiError for a key that is in use, or was first used with another fingerprint.
        """
        with self._lock:
            entry = self._entries.get(key)
            if entry and self._clock() - entry.first_used < KEPT_FOR:
                if entry.fingerprint != fingerprint:
                    raise key_reused(key)
                if entry.answer is None:
                    raise key_in_use(key)
                return entry.answer
            self._entries[key] = _Entry(fingerprint, self._clock())
            return None

    def save(self, key: str, answer: Answer) -> None:
        """Answer the same from now on."""
        with self._lock:
            if key in self._entries:  # a reset may have come in between
                self._entries[key].answer = answer

    def release(self, key: str) -> None:
        """Nothing was executed: the key is free again."""
        with self._lock:
            self._entries.pop(key, None)

    def forget(self) -> None:
        """Forget every key, as if 24 hours had gone by."""
        with self._lock:
            self._entries.clear()
