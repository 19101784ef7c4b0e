"""A gateway that reports every refusal of our key or account."""

from collections.abc import Callable
from dataclasses import dataclass

from payments.domain.errors import Misconfigured
from payments.ports.payment_gateway import ChargeRequest, GatewayCharge, PaymentGateway


@dataclass(frozen=True)
class GuardedGateway:
    """Wraps a PaymentGateway. Calls `refused` with each Misconfigured error before it raises the error."""

    gateway: PaymentGateway
    refused: Callable[[Misconfigured], None]

    @property
    def name(self) -> str:
        """The name of the wrapped gateway."""
        return self.gateway.name

    def charge(self, request: ChargeRequest) -> GatewayCharge:
        """Charge at the wrapped gateway; calls `refused` on Misconfigured."""
        return self._reporting(lambda: self.gateway.charge(request))

    def find(self, payment_id: str, reference: str = "") -> GatewayCharge | None:
        """Find the charge at the wrapped gateway; calls `refused` on Misconfigured."""
        return self._reporting(lambda: self.gateway.find(payment_id, reference))

    def cancel(self, reference: str) -> None:
        """Cancel at the wrapped gateway; calls `refused` on Misconfigured."""
        self._reporting(lambda: self.gateway.cancel(reference))

    def _reporting[T](self, call: Callable[[], T]) -> T:
        try:
            return call()
        except Misconfigured as error:
            self.refused(error)
            raise
