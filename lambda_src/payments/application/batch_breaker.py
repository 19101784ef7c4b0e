"""Pause the breaker when the gateway refuses our key or account, or is out of reach, for several payments."""

from dataclasses import dataclass, field
from datetime import timedelta

from payments.domain.batch_breaker import PausedBy
from payments.domain.clock import Clock
from payments.domain.errors import PaymentError
from payments.ports.batch_breaker_store import BreakerStore

PAYMENTS_UNTIL_PAUSE = 3
"""A payment or two can be refused while the key is rotated. One payment proves nothing: each is tried several times."""
REFUSALS_WINDOW = timedelta(minutes=5)
OUTAGES_UNTIL_COUNTED = 3
"""A gateway that fails now and then is not out of reach: only a call that fails like the two before it is counted."""


@dataclass
class BatchBreaker:
    """The breaker as the charge function uses it. One function instance has one, which remembers its last calls."""

    store: BreakerStore
    clock: Clock
    _outages: int = field(default=0, init=False)
    """The calls in a row that got no answer, an error of the gateway's own, or a limit of the account."""

    @property
    def out_of_reach(self) -> bool:
        """True while the last calls of this function instance show an outage of the gateway."""
        return self._outages >= OUTAGES_UNTIL_COUNTED

    def answered(self) -> None:
        """Remember that the gateway answered a call."""
        self._outages = 0

    def refused(self, payment_id: str, error: PaymentError) -> bool:
        """Count a payment whose request shows an outage, or was refused for our key or account. Returns True if it
        paused the breaker.

        A refusal without a payment id counts nothing.
        """
        if error.outage:
            self._outages += 1
        if not payment_id or (error.outage and not self.out_of_reach):
            return False
        now = self.clock()
        payments = self.store.count_refusal(payment_id, now, REFUSALS_WINDOW)
        by = PausedBy.OUTAGE if error.outage else PausedBy.GATEWAY
        return payments >= PAYMENTS_UNTIL_PAUSE and self.store.pause(by, f"{error.code}: {error.message}", now)
