"""Stripe's idempotency layer (docs.stripe.com/api/idempotent_requests, docs.stripe.com/error-low-level)."""

import threading
from dataclasses import dataclass
from datetime import datetime, timedelta

from local.fake_stripe.clock_and_ids import Clock
from local.fake_stripe.errors import key_in_use, key_reused, key_too_long
from local.fake_stripe.settings import Settings

LONGEST_KEY = 255


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer with a JSON body."""

    status: int
    body: bytes
    headers: dict[str, str]


@dataclass(slots=True)
class _Entry:
    fingerprint: str
    first_used: datetime
    answer: Answer | None = None  # None while the first request is in progress


class IdempotencyKeys:
    """The answers by key, kept for the time in the settings. Thread-safe."""

    def __init__(self, clock: Clock, settings: Settings) -> None:
        self._clock = clock
        self._settings = settings
        self._entries: dict[str, _Entry] = {}
        self._lock = threading.Lock()

    def begin(self, key: str, fingerprint: str) -> Answer | None:
        """The saved answer, or None. After None, the caller executes the request and must call `save` or `release`.

        Raises ApiError if the key is in use, is too long, or was first used with another fingerprint.
        """
        if len(key) > LONGEST_KEY:
            raise key_too_long()
        with self._lock:
            now = self._clock()
            self._forget_before(now - timedelta(hours=self._settings.idempotency_keys_hours))
            entry = self._entries.get(key)
            if entry:
                if entry.fingerprint != fingerprint:
                    raise key_reused(key)
                if entry.answer is None:
                    raise key_in_use(key)
                return entry.answer
            self._entries[key] = _Entry(fingerprint, now)
            return None

    def answered(self, key: str) -> bool:
        """True if an answer is stored under `key`."""
        with self._lock:
            entry = self._entries.get(key)
            return entry is not None and entry.answer is not None

    def save(self, key: str, answer: Answer) -> None:
        """Store the answer of this key."""
        with self._lock:
            if key in self._entries:  # a reset may have removed it
                self._entries[key].answer = answer

    def release(self, key: str) -> None:
        """Free the key, because nothing was executed."""
        with self._lock:
            self._entries.pop(key, None)

    def forget(self) -> None:
        """Forget every key, as after 24 hours."""
        with self._lock:
            self._entries.clear()

    def _forget_before(self, limit: datetime) -> None:
        """Forget entries that were first used before `limit`. The entries are in order of first use."""
        while self._entries:
            key, entry = next(iter(self._entries.items()))
            if entry.first_used > limit:
                return
            del self._entries[key]
