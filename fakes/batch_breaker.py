"""The batch breaker's state in memory."""

from dataclasses import replace
from datetime import datetime, timedelta

from payments.domain.batch_breaker import MOST_REFUSED_PAYMENTS, BreakerState, PausedBy
from payments.domain.clock import iso


class MemoryBreakerStore:
    """The breaker's state in an attribute. The environment is open, unlike one with new tables."""

    def __init__(self) -> None:
        self._state = BreakerState()
        self._refused: set[str] = set()
        self._window_ends: datetime | None = None

    def state(self) -> BreakerState:
        """The current state."""
        return self._state

    def count_refusal(self, payment_id: str, at: datetime, window: timedelta) -> int:
        """Add the payment to the current window, or start a new one. Returns the number of payments in it."""
        if self._window_ends is None or at >= self._window_ends or len(self._refused) >= MOST_REFUSED_PAYMENTS:
            self._refused, self._window_ends = set(), at + window
        self._refused.add(payment_id)
        self._state = replace(self._state, refused_at=iso(at))
        return len(self._refused)

    def pause(self, by: PausedBy, reason: str, at: datetime) -> bool:
        """Pause the breaker. False if it is already paused."""
        if self._state.paused:
            return False
        state = self._state
        paused = BreakerState(by.value, reason, iso(at))
        self._state = replace(paused, refused_at=state.refused_at, pauses=state.pauses, is_open=state.is_open)
        return True

    def resume(self, at: datetime) -> bool:
        """Resume the breaker and forget the refusals, but not the operators' pauses. False if it is not paused."""
        if not self._state.paused:
            return False
        self._state = BreakerState(pauses=self._state.pauses_at(at), is_open=self._state.is_open)
        self._refused, self._window_ends = set(), None
        return True

    def open(self, by: str, at: datetime) -> None:  # noqa: ARG002 - the mark alone counts
        """Mark the environment as open."""
        self._state = replace(self._state, is_open=True)

    def close(self) -> None:
        """Remove the mark."""
        self._state = replace(self._state, is_open=False)

    def send_probe(self, payment_id: str) -> None:
        """Store the probe's payment id. No effect if the breaker is running."""
        if self._state.paused:
            self._state = replace(self._state, probe=payment_id)
