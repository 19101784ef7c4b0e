"""The in-memory fake of refunds at the gateway, next to the fake gateway whose charges it refunds."""

from fakes.gateway import MemoryGateway
from payments.ports.refund_gateway import GatewayRefund, RefundOrder


class MemoryRefunds:
    """RefundGateway in memory."""

    def __init__(self, gateway: MemoryGateway) -> None:
        self._gateway = gateway

    def create_refund(self, order: RefundOrder) -> GatewayRefund:
        """Refund once for each key."""
        return self._gateway.create_refund(order)

    def refund(self, reference: str) -> GatewayRefund:
        """The refund with this reference."""
        return self._gateway.refund_of(reference)

    def refunds_of(self, charge: str) -> tuple[GatewayRefund, ...]:
        """All refunds of a charge, newest first."""
        return self._gateway.refunds_of(charge)
