"""Open the batch breaker when the gateway repeatedly rejects our key or account."""

from dataclasses import dataclass
from datetime import timedelta

from payments.domain.batch_breaker import PausedBy
from payments.domain.clock import Clock
from payments.domain.errors import PaymentError
from payments.ports.batch_breaker_store import BreakerStore

REFUSALS_UNTIL_PAUSE = 3
"""A single refusal can happen while the key is rotated."""
REFUSALS_WINDOW = timedelta(minutes=5)


@dataclass(frozen=True)
class BatchBreaker:
    """The batch breaker as the charge function uses it."""

    store: BreakerStore
    clock: Clock

    def refused(self, error: PaymentError) -> bool:
        """Count a refusal of our key or account. Returns True if this refusal opened the breaker."""
        now = self.clock()
        refusals = self.store.count_refusal(now, REFUSALS_WINDOW)
        reason = f"{error.code}: {error.message}"
        return refusals >= REFUSALS_UNTIL_PAUSE and self.store.pause(PausedBy.GATEWAY, reason, now)
