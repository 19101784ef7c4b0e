"""Storage of the batch breaker's state."""

from datetime import datetime, timedelta
from typing import Protocol

from payments.domain.batch_breaker import BreakerState, PausedBy


class BreakerStore(Protocol):
    """The stored state of the batch breaker."""

    def state(self) -> BreakerState:
        """The current state. Strongly consistent."""

    def count_refusal(self, payment_id: str, at: datetime, window: timedelta) -> int:
        """Add a payment that the gateway refused, and store the time. Returns the number of refused payments in the
        current window, in which each payment counts once. A window holds at most MOST_REFUSED_PAYMENTS."""

    def pause(self, by: PausedBy, reason: str, at: datetime) -> bool:
        """Pause the breaker. Returns False, without a change, if it is already paused: only one caller gets True."""

    def resume(self, at: datetime) -> bool:
        """Resume the breaker and forget the refusals, but keep a pause by an operator among the latest MOST_PAUSES.
        Returns False if it is not paused."""

    def open(self, by: str, at: datetime) -> None:
        """Mark the environment as open. Without the mark it is closed: no payment is accepted or sent."""

    def close(self) -> None:
        """Remove the mark."""

    def send_probe(self, payment_id: str) -> None:
        """Store which payment was started as the probe. No effect if the breaker is not paused."""
