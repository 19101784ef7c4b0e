"""Stripe's idempotency layer (docs.stripe.com/api/idempotent_requests, docs.stripe.com/error-low-level)."""

import threading
from dataclasses import dataclass
from datetime import datetime, timedelta

from local.fake_stripe.clock_and_ids import Clock
from local.fake_stripe.errors import key_in_use, key_reused
from local.fake_stripe.settings import Settings


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
    """What was answered under each key for as long as the settings say. Safe for several threads."""

    def __init__(self, clock: Clock, settings: Settings) -> None:
        self._clock = clock
        self._settings = settings
        self._entries: dict[str, _Entry] = {}
        self._lock = threading.Lock()

    def begin(self, key: str, fingerprint: str) -> Answer | None:
        """The saved answer, or None: then the caller executes and must call `save` or `release`.

        Raises ApiError for a key that is in use, or was first used with another fingerprint.
        """
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
        """True if an answer is remembered under `key`."""
        with self._lock:
            entry = self._entries.get(key)
            return entry is not None and entry.answer is not None

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

    def _forget_before(self, moment: datetime) -> None:
        """The entries are in the order of their first use, so that the oldest come first."""
        while self._entries:
            key, entry = next(iter(self._entries.items()))
            if entry.first_used > moment:
                return
            del self._entries[key]
