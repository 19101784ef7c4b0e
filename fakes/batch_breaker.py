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
        """Pause the breaker for a cause. False if this cause holds already."""
        state = self._state
        if state.by_operator if by is PausedBy.OPERATOR else state.by_gateway:
            return False
        if state.by_gateway:
            self._state = replace(state, operator_since=iso(at), operator_reason=reason)
            return True
        paused = replace(state, paused_by=by.value, reason=reason, since=iso(at), probe="")
        if state.by_operator:
            paused = replace(paused, operator_since=state.since, operator_reason=state.reason)
        self._state = paused
        return True

    def resume(self, at: datetime) -> bool:
        """End the operator's pause, and keep it. Without one, end the gateway's. False if the breaker is not paused."""
        state = self._state
        if state.by_gateway and state.by_operator:
            self._state = replace(state, pauses=state.pauses_at(at), operator_since="", operator_reason="")
            return True
        return self._ended(at)

    def resume_gateway(self, at: datetime) -> bool:
        """End the gateway's pause, and forget the refusals. An operator's pause stays. False if it is no cause."""
        state = self._state
        if not state.by_gateway:
            return False
        if not state.by_operator:
            return self._ended(at)
        self._state = BreakerState(
            PausedBy.OPERATOR, state.operator_reason, state.operator_since, pauses=state.pauses, is_open=state.is_open
        )
        self._refused, self._window_ends = set(), None
        return True

    def _ended(self, at: datetime) -> bool:
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
