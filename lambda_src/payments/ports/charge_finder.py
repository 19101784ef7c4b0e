"""Whether the gateway has a charge of a payment."""

from typing import Protocol

from payments.ports.payment_gateway import GatewayCharge


class ChargeFinder(Protocol):
    """The one question of a `PaymentGateway` that a retry asks."""

    def find(self, payment_id: str, reference: str = "", *, environment_id: str = "") -> GatewayCharge | None:
        """See `PaymentGateway.find`."""
