"""Whether the gateway has a charge of a payment."""

from datetime import datetime
from typing import Protocol

from payments.ports.payment_gateway import GatewayCharge, Listed


class ChargeFinder(Protocol):
    """The two questions of a `PaymentGateway` that a retry asks."""

    def find(self, payment_id: str, reference: str = "", *, environment_id: str = "") -> GatewayCharge | None:
        """See `PaymentGateway.find`."""

    def listed(self, since: datetime, until: datetime, after: str = "") -> Listed:
        """See `PaymentGateway.listed`."""
