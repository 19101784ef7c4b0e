"""The limit of the backlog: how far ahead REST payments may hold slots before new ones are turned away."""

import math
from dataclasses import dataclass

from payments.application.gateway_rate_limiter import GatewayRateLimiter
from payments.ports.payment_store import PaymentStore

LEAST_RETRY_SECONDS = 30
"""The shortest Retry-After. Clients that all return at once would find the backlog as long as before."""


class BacklogFull(Exception):
    """The backlog is over its limit, and the payment is new. Nothing was stored."""

    def __init__(self, retry_after_seconds: int) -> None:
        self.retry_after_seconds = retry_after_seconds
        super().__init__(f"the backlog is over its limit; try again in {retry_after_seconds} seconds")


@dataclass(frozen=True)
class BacklogLimit:
    """`seconds` is how long a new payment may have to wait for its slot.

    Only REST payments take slots more than three seconds ahead (tickets). A longer backlog is therefore theirs alone,
    and a batch never turns a REST payment away.
    """

    rate_limiter: GatewayRateLimiter
    seconds: int

    def check(self, payment_id: str, store: PaymentStore) -> None:
        """Raise BacklogFull for a payment that is not stored yet. A known one is answered as before."""
        over = self.rate_limiter.backlog_seconds() - self.seconds
        if over > 0 and store.get(payment_id) is None:
            raise BacklogFull(max(LEAST_RETRY_SECONDS, math.ceil(over)))
