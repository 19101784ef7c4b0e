"""The batch breaker's state in memory."""

from dataclasses import replace
from datetime import datetime, timedelta

from payments.domain.batch_breaker import BreakerState, PausedBy
from payments.domain.clock import iso


class MemoryBreakerStore:
    """The breaker's state in an attribute."""

    def __init__(self) -> None:
        self._state = BreakerState()
        self._refusals = 0
        self._window_ends: datetime | None = None

    def state(self) -> BreakerState:
        """The current state."""
        return self._state

    def count_refusal(self, at: datetime, window: timedelta) -> int:
        """Count a refusal in the current window, or start a new one. Returns the count."""
        if self._window_ends is None or at >= self._window_ends:
            self._refusals, self._window_ends = 0, at + window
        self._refusals += 1
        self._state = replace(self._state, refused_at=iso(at))
        return self._refusals

    def pause(self, by: PausedBy, reason: str, at: datetime) -> bool:
        """Open the breaker. False if it is already open."""
        if self._state.paused:
            return False
        self._state = BreakerState(by.value, reason, iso(at), self._state.refused_at)
        return True

    def resume(self) -> bool:
        """Close the breaker and forget the refusals. False if it is not open."""
        if not self._state.paused:
            return False
        self._state, self._refusals, self._window_ends = BreakerState(), 0, None
        return True

    def send_probe(self, payment_id: str) -> None:
        """Store the probe's payment id. No effect if the breaker is closed."""
        if self._state.paused:
            self._state = replace(self._state, probe=payment_id)
