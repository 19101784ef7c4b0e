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
        """Pause the breaker for a cause: an operator, or the gateway (two names). Both may hold together. Returns
        False, without a change, if this cause holds already: only one caller gets True."""

    def resume(self, at: datetime) -> bool:
        """End the operator's pause, and keep it among the latest MOST_PAUSES. Without one, end the gateway's. Returns
        False if the breaker is not paused."""

    def resume_gateway(self, at: datetime) -> bool:
        """End the gateway's pause, and forget the refusals. An operator's pause stays. Returns False if there is none
        by the gateway."""

    def open(self, by: str, at: datetime) -> None:
        """Mark the environment as open. Without the mark it is closed: no payment is accepted or sent."""

    def close(self) -> None:
        """Remove the mark."""

    def send_probe(self, payment_id: str) -> None:
        """Store which payment was started as the probe. No effect if the breaker is not paused."""
