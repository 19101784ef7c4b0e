"""Questions about one payment's charge, within the clients' share of the gateway's rate."""

from dataclasses import dataclass

from payments.application.client_requests import take_slot
from payments.domain.clock import Clock
from payments.ports.charge_finder import ChargeFinder
from payments.ports.limit_store import LimitStore
from payments.ports.payment_gateway import GatewayCharge


@dataclass(frozen=True)
class RateLimitedChargeFinder:
    """Wraps a ChargeFinder. A question does not wait for a slot, because a client waits for the answer."""

    finder: ChargeFinder
    limits: LimitStore
    clock: Clock

    def find(self, payment_id: str, reference: str = "", *, environment_id: str = "") -> GatewayCharge | None:
        """Take a slot, then ask. Raises RateLimited without a slot, and also if the slots cannot be counted."""
        take_slot(self.limits, self.clock)
        return self.finder.find(payment_id, reference, environment_id=environment_id)
