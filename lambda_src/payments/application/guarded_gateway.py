"""A gateway that tells when it refuses us whatever the payment."""

from collections.abc import Callable
from dataclasses import dataclass

from payments.domain.errors import Misconfigured
from payments.ports.payment_gateway import ChargeRequest, GatewayCharge, PaymentGateway


@dataclass(frozen=True)
class GuardedGateway:
    """PaymentGateway on another one; `refused` is called with each Misconfigured before that goes on its way."""

    gateway: PaymentGateway
    refused: Callable[[Misconfigured], None]

    @property
    def name(self) -> str:
        """The name of the gateway itself."""
        return self.gateway.name

    def charge(self, request: ChargeRequest) -> GatewayCharge:
        """See the port."""
        return self._told(lambda: self.gateway.charge(request))

    def find(self, payment_id: str, reference: str = "") -> GatewayCharge | None:
        """See the port."""
        return self._told(lambda: self.gateway.find(payment_id, reference))

    def cancel(self, reference: str) -> None:
        """See the port."""
        self._told(lambda: self.gateway.cancel(reference))

    def _told[T](self, call: Callable[[], T]) -> T:
        try:
            return call()
        except Misconfigured as error:
            self.refused(error)
            raise
