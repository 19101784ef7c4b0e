"""Storage of the batch breaker's state."""

from datetime import datetime, timedelta
from typing import Protocol

from payments.domain.batch_breaker import BreakerState, PausedBy


class BreakerStore(Protocol):
    """The switch. Adapters: `stores/controls_dynamodb.py` and `stores/controls_memory.py`."""

    def state(self) -> BreakerState:
        """The lane as it stands. Strongly consistent."""

    def count_refusal(self, at: datetime, window: timedelta) -> int:
        """Count a refusal by the gateway, and remember when; gives how many there were since the window's first."""

    def pause(self, by: PausedBy, reason: str, at: datetime) -> bool:
        """Pause the lane. False, and no change, if it was paused already: of many only one is told True."""

    def resume(self) -> bool:
        """Open the lane and forget the refusals. False if it was open."""

    def send_probe(self, payment_id: str) -> None:
        """Remember which payment was sent ahead."""
