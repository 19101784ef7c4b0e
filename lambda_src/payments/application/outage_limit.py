"""The limit of an outage: how many new payments are accepted while the gateway takes none."""

from dataclasses import dataclass
from datetime import timedelta

from payments.application.hold import Hold
from payments.ports.limit_store import LimitStore
from payments.ports.payment_store import PaymentStore

RETRY_SECONDS = 60
"""Recovery asks the gateway once a minute."""
KEPT_FOR = timedelta(days=7)
"""How long the count of a pause is kept after the last payment."""


class OutageFull(Exception):
    """The gateway takes no payments, so many wait for it already, and this one is new. Nothing was stored."""

    def __init__(self, retry_after_seconds: int = RETRY_SECONDS) -> None:
        self.retry_after_seconds = retry_after_seconds
        super().__init__(f"the gateway takes no payments; try again in {retry_after_seconds} seconds")


@dataclass(frozen=True)
class OutageLimit:
    """`most` is how many new payments are accepted in one pause of the gateway. They are counted in the limits table:
    the api function may not write the breaker."""

    hold: Hold
    limits: LimitStore
    most: int

    def check(self, payment_id: str, store: PaymentStore) -> None:
        """Count a payment that is not stored yet, during a pause of the gateway. Raises OutageFull above the limit.

        A known payment is answered as before. Raises LimitsUnavailable.
        """
        breaker = self.hold.state()
        if not breaker.by_gateway or store.get(payment_id) is not None:
            return
        if self.limits.count(f"outage#{breaker.since}", self.hold.clock() + KEPT_FOR) > self.most:
            raise OutageFull
