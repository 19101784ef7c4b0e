"""Open the batch breaker after repeated refusals of our key or account."""

from dataclasses import dataclass
from datetime import timedelta

from payments.domain.batch_breaker import PausedBy
from payments.domain.clock import Clock
from payments.domain.errors import PaymentError
from payments.ports.batch_breaker_store import BreakerStore

REFUSALS_UNTIL_PAUSE = 3
"""One refusal may be a key in the middle of its rotation."""
REFUSALS_WINDOW = timedelta(minutes=5)


@dataclass(frozen=True)
class BatchBreaker:
    """The lane as the charge function sees it."""

    store: BreakerStore
    clock: Clock

    def refused(self, error: PaymentError) -> bool:
        """The gateway refused us whatever the payment. After the first few the lane pauses: True, once a pause."""
        now = self.clock()
        refusals = self.store.count_refusal(now, REFUSALS_WINDOW)
        reason = f"{error.code}: {error.message}"
        return refusals >= REFUSALS_UNTIL_PAUSE and self.store.pause(PausedBy.GATEWAY, reason, now)
