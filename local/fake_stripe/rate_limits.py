"""Stripe's rate limits (docs.stripe.com/rate-limits, docs.stripe.com/search). They come before idempotency keys."""

import threading
from datetime import timedelta

from local.fake_stripe.clock_and_ids import Clock
from local.fake_stripe.errors import rate_limited
from local.fake_stripe.recent import SECOND, Recent
from local.fake_stripe.settings import Settings

_HOUR = timedelta(hours=1)
_UPDATE = "POST /v1/payment_intents/<object_id>"


class RateLimits:
    """Admits requests within the limits in the settings. A rejected request does not count. Thread-safe."""

    def __init__(self, clock: Clock, settings: Settings) -> None:
        self._clock = clock
        self._settings = settings
        self._admitted: dict[str, Recent] = {}
        self._lock = threading.Lock()

    def take(self, endpoint: str, object_id: str = "") -> None:
        """Admit a request to an endpoint, such as "GET /v1/refunds/<object_id>". Raises ApiError (429).

        Stripe documents neither a `Retry-After` nor the reason that the limit of searches names.
        """
        settings = self._settings
        limits = [
            (settings.requests_per_second, "", SECOND, "global-rate"),
            (settings.endpoint_requests_per_second, endpoint, SECOND, "endpoint-rate"),
        ]
        if endpoint.endswith("/search"):
            limits.append((settings.search_requests_per_second, "/search", SECOND, "endpoint-rate"))
        if endpoint.startswith(_UPDATE):
            limits.append((settings.updates_per_intent_per_hour, object_id, _HOUR, "resource-specific"))
        limits = [limit for limit in limits if limit[0]]
        if not limits:
            return
        with self._lock:
            now = self._clock()
            for most, counted, span, reason in limits:
                if self._admitted.setdefault(counted, Recent(span)).count(now) >= most:
                    raise rate_limited(reason=reason)
            for _, counted, _, _ in limits:
                self._admitted[counted].add(now)

    def clear(self) -> None:
        """Forget all requests."""
        with self._lock:
            self._admitted.clear()
