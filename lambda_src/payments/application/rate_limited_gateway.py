"""A gateway that sends each request in its slot."""

from dataclasses import dataclass
from datetime import datetime

from payments.application.gateway_rate_limiter import Turn
from payments.ports.payment_gateway import ChargeRequest, GatewayCharge, Listed, ListedCharge, PaymentGateway


@dataclass(frozen=True)
class RateLimitedGateway:
    """Wraps a PaymentGateway. `turn` waits right before each request, so that no other work delays it."""

    gateway: PaymentGateway
    turn: Turn

    @property
    def name(self) -> str:
        """The name of the wrapped gateway."""
        return self.gateway.name

    def charge(self, request: ChargeRequest) -> GatewayCharge:
        """Wait for the slot, then charge at the wrapped gateway. The wait may raise NoFreeSlot."""
        self.turn()
        return self.gateway.charge(request)

    def find(self, payment_id: str, reference: str = "", *, environment_id: str = "") -> GatewayCharge | None:
        """Wait for the slot, then find the charge at the wrapped gateway. The wait may raise NoFreeSlot."""
        self.turn()
        return self.gateway.find(payment_id, reference, environment_id=environment_id)

    def charges_of(self, payment_id: str, *, environment_id: str = "") -> tuple[ListedCharge, ...]:
        """Wait for the slot, then search at the wrapped gateway. The wait may raise NoFreeSlot."""
        self.turn()
        return self.gateway.charges_of(payment_id, environment_id=environment_id)

    def listed(self, since: datetime, until: datetime, after: str = "") -> Listed:
        """Wait for the slot of a page, then list at the wrapped gateway. The wait may raise NoFreeSlot."""
        self.turn()
        return self.gateway.listed(since, until, after)

    def ids_of(self, reference: str) -> tuple[str, str]:
        """Wait for the slot, then ask the wrapped gateway. The wait may raise NoFreeSlot."""
        self.turn()
        return self.gateway.ids_of(reference)

    def cancel(self, reference: str) -> bool:
        """Wait for the slot, then cancel at the wrapped gateway. The wait may raise NoFreeSlot."""
        self.turn()
        return self.gateway.cancel(reference)

    def check_account(self) -> None:
        """Wait for the slot, then check the account at the wrapped gateway. The wait may raise NoFreeSlot."""
        self.turn()
        self.gateway.check_account()
