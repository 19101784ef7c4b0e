"""Refunds at a gateway that reports every refusal of our key or account."""

from collections.abc import Callable
from dataclasses import dataclass

from payments.domain.errors import Misconfigured
from payments.ports.refund_gateway import GatewayRefund, RefundGateway, RefundOrder


@dataclass(frozen=True)
class GuardedRefunds:
    """Wraps a RefundGateway. Calls `refused` before it raises Misconfigured."""

    gateway: RefundGateway
    refused: Callable[[], object]

    def create_refund(self, order: RefundOrder) -> GatewayRefund:
        """Refund at the wrapped gateway."""
        return self._reporting(lambda: self.gateway.create_refund(order))

    def refund(self, reference: str) -> GatewayRefund:
        """Ask the wrapped gateway."""
        return self._reporting(lambda: self.gateway.refund(reference))

    def refunds_of(self, charge: str) -> tuple[GatewayRefund, ...]:
        """List at the wrapped gateway."""
        return self._reporting(lambda: self.gateway.refunds_of(charge))

    def _reporting[T](self, call: Callable[[], T]) -> T:
        try:
            return call()
        except Misconfigured:
            self.refused()
            raise
