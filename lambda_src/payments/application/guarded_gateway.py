"""A gateway that reports every refusal of our key or account, every outage, and every answer."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from payments.domain.errors import Misconfigured, PaymentError
from payments.ports.payment_gateway import ChargeRequest, GatewayCharge, Listed, ListedCharge, PaymentGateway


@dataclass(frozen=True)
class GuardedGateway:
    """Wraps a PaymentGateway. Calls `refused` with the payment id and each error that concerns more than one payment,
    before it raises the error: Misconfigured, and an outage. Calls `answered` after every other answer. The id is ""
    for a list, for a check of the account, and for calls that know only a reference."""

    gateway: PaymentGateway
    refused: Callable[[str, PaymentError], object]
    answered: Callable[[], object] = lambda: None

    @property
    def name(self) -> str:
        """The name of the wrapped gateway."""
        return self.gateway.name

    def charge(self, request: ChargeRequest) -> GatewayCharge:
        """Charge at the wrapped gateway."""
        return self._reporting(request.payment_id, lambda: self.gateway.charge(request))

    def find(self, payment_id: str, reference: str = "", *, environment_id: str = "") -> GatewayCharge | None:
        """Find the charge at the wrapped gateway."""
        return self._reporting(
            payment_id, lambda: self.gateway.find(payment_id, reference, environment_id=environment_id)
        )

    def charges_of(self, payment_id: str, *, environment_id: str = "") -> tuple[ListedCharge, ...]:
        """Search at the wrapped gateway."""
        return self._reporting(payment_id, lambda: self.gateway.charges_of(payment_id, environment_id=environment_id))

    def listed(self, since: datetime, until: datetime, after: str = "") -> Listed:
        """List charges at the wrapped gateway."""
        return self._reporting("", lambda: self.gateway.listed(since, until, after))

    def ids_of(self, reference: str) -> tuple[str, str]:
        """Ask the wrapped gateway."""
        return self._reporting("", lambda: self.gateway.ids_of(reference))

    def cancel(self, reference: str) -> bool:
        """Cancel at the wrapped gateway."""
        return self._reporting("", lambda: self.gateway.cancel(reference))

    def check_account(self) -> None:
        """Check the account at the wrapped gateway."""
        self._reporting("", self.gateway.check_account)

    def _reporting[T](self, payment_id: str, call: Callable[[], T]) -> T:
        try:
            answer = call()
        except PaymentError as error:
            if error.outage or isinstance(error, Misconfigured):
                self.refused(payment_id, error)
            else:
                self.answered()
            raise
        self.answered()
        return answer
