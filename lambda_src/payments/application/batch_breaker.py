"""Pause the batch breaker when the gateway rejects our key or account for several payments."""

from dataclasses import dataclass
from datetime import timedelta

from payments.domain.batch_breaker import PausedBy
from payments.domain.clock import Clock
from payments.domain.errors import PaymentError
from payments.ports.batch_breaker_store import BreakerStore

PAYMENTS_UNTIL_PAUSE = 3
"""A payment or two can be refused while the key is rotated. One payment proves nothing: each is tried several times."""
REFUSALS_WINDOW = timedelta(minutes=5)


@dataclass(frozen=True)
class BatchBreaker:
    """The batch breaker as the charge function uses it."""

    store: BreakerStore
    clock: Clock

    def refused(self, payment_id: str, error: PaymentError) -> bool:
        """Count a payment whose request was refused for our key or account. Returns True if it paused the breaker.

        A refusal without a payment id counts nothing.
        """
        if not payment_id:
            return False
        now = self.clock()
        payments = self.store.count_refusal(payment_id, now, REFUSALS_WINDOW)
        reason = f"{error.code}: {error.message}"
        return payments >= PAYMENTS_UNTIL_PAUSE and self.store.pause(PausedBy.GATEWAY, reason, now)
