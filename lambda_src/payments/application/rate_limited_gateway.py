"""A gateway that is asked when it is one's turn, and not a moment earlier."""

from dataclasses import dataclass

from payments.application.gateway_rate_limiter import Turn
from payments.ports.payment_gateway import ChargeRequest, GatewayCharge, PaymentGateway


@dataclass(frozen=True)
class RateLimitedGateway:
    """PaymentGateway on another one; `turn` waits right before each request, so that nothing comes in between."""

    gateway: PaymentGateway
    turn: Turn

    @property
    def name(self) -> str:
        """The name of the gateway itself."""
        return self.gateway.name

    def charge(self, request: ChargeRequest) -> GatewayCharge:
        """See the port."""
        self.turn()
        return self.gateway.charge(request)

    def find(self, payment_id: str, reference: str = "") -> GatewayCharge | None:
        """See the port."""
        self.turn()
        return self.gateway.find(payment_id, reference)

    def cancel(self, reference: str) -> None:
        """See the port."""
        self.turn()
        self.gateway.cancel(reference)
