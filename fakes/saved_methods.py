"""The in-memory fake of the saved payment methods."""

from collections.abc import Sequence

from payments.domain.errors import InvalidPayment, PaymentError
from payments.ports.saved_methods import SavedMethod, Setup


class MemorySavedMethods:
    """Customers and their cards in dicts. Customers are named by our ids: the same id gives the same customer."""

    def __init__(self) -> None:
        self.attached: dict[str, list[SavedMethod]] = {}
        """Customer of the gateway → its cards, newest first. A deleted customer is absent."""
        self.calls: list[str] = []
        """The names of all calls, oldest first."""
        self.failures: list[PaymentError] = []
        """The errors of the next calls."""

    def create_customer(self, customer_id: str) -> str:
        """The customer of ours, created by the first call."""
        self._called("create_customer")
        gateway_customer = f"cus_of_{customer_id}"
        self.attached.setdefault(gateway_customer, [])
        return gateway_customer

    def start_setup(self, gateway_customer: str, customer_id: str) -> Setup:  # noqa: ARG002 - for the event alone
        """A setup that waits for its cardholder."""
        self._called("start_setup")
        self._require(gateway_customer)
        setup_id = f"seti_{len(self.calls)}"
        return Setup(setup_id, f"{setup_id}_secret_memory", "requires_payment_method")

    def of(self, gateway_customer: str) -> Sequence[SavedMethod]:
        """The cards of the customer."""
        self._called("of")
        self._require(gateway_customer)
        return list(self.attached[gateway_customer])

    def detach(self, method_id: str) -> None:
        """Detach a card from its customer, if it has one."""
        self._called("detach")
        for methods in self.attached.values():
            methods[:] = [method for method in methods if method.method_id != method_id]

    def delete_customer(self, gateway_customer: str) -> None:
        """Delete a customer, if there is one."""
        self._called("delete_customer")
        self.attached.pop(gateway_customer, None)

    def attach(self, gateway_customer: str, method_id: str) -> None:
        """Attach a card, as a cardholder who confirms a setup does."""
        self.attached[gateway_customer].insert(0, SavedMethod(method_id, "visa", "4242", 12, 2034))

    def _require(self, gateway_customer: str) -> None:
        if gateway_customer not in self.attached:
            raise InvalidPayment("unknown_customer", "the gateway does not know the customer")

    def _called(self, name: str) -> None:
        self.calls.append(name)
        if self.failures:
            raise self.failures.pop(0)
