"""Questions about one payment's charge, within the clients' share of the gateway's rate."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from payments.application.client_requests import take_slot
from payments.domain.clock import Clock
from payments.domain.errors import RateLimited
from payments.ports.charge_finder import ChargeFinder
from payments.ports.limit_store import LimitStore
from payments.ports.payment_gateway import GatewayCharge, Listed

WAITS_AT_MOST = 3
"""How many seconds of the clock a page of the list waits for a slot."""


@dataclass(frozen=True)
class RateLimitedChargeFinder:
    """Wraps a ChargeFinder. A question does not wait for a slot, because a client waits for the answer. A
    page of the list waits up to three seconds for one: few charges need more pages than a second has slots.
    `sleep` takes seconds."""

    finder: ChargeFinder
    limits: LimitStore
    clock: Clock
    sleep: Callable[[float], None]

    def find(self, payment_id: str, reference: str = "", *, environment_id: str = "") -> GatewayCharge | None:
        """Take a slot, then ask. Raises RateLimited without a slot, and also if the slots cannot be counted."""
        take_slot(self.limits, self.clock)
        return self.finder.find(payment_id, reference, environment_id=environment_id)

    def listed(self, since: datetime, until: datetime, after: str = "") -> Listed:
        """Wait for a slot, then read a page. Raises RateLimited without a slot."""
        for waited in range(WAITS_AT_MOST + 1):
            try:
                take_slot(self.limits, self.clock)
                break
            except RateLimited:
                if waited == WAITS_AT_MOST:
                    raise
                self.sleep(1)
        return self.finder.listed(since, until, after)
