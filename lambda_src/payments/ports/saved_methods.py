"""The payment methods that a customer saved at the gateway."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True)
class SavedMethod:
    """A card that is attached to a customer of the gateway. `method_id` is the gateway's id of it."""

    method_id: str
    brand: str
    last4: str
    exp_month: int
    exp_year: int


@dataclass(frozen=True, slots=True)
class Setup:
    """A started setup of a payment method. The secret is for the customer alone: it is never stored or logged.

    `status` is the gateway's word, such as `requires_payment_method`.
    """

    setup_id: str
    client_secret: str = field(repr=False)
    status: str


class SavedMethods(Protocol):
    """The customers of the gateway and their payment methods. Each call is one request.

    Every call raises RateLimited, NotSent, OutcomeUnknown or Misconfigured if the gateway gave no answer, and all but
    the first and the last InvalidPayment for a customer that the gateway does not know.
    """

    def create_customer(self, customer_id: str) -> str:
        """The gateway's customer for ours, without personal data. Calls within 24 hours make one customer."""

    def start_setup(self, gateway_customer: str, customer_id: str) -> Setup:
        """Start the setup of a card that the gateway attaches to its customer once the cardholder confirmed it.

        The gateway's event about it names our customer and environment.
        """

    def of(self, gateway_customer: str) -> Sequence[SavedMethod]:
        """The newest 100 cards of the gateway's customer, newest first."""

    def detach(self, method_id: str) -> None:
        """Detach a payment method for ever. No effect on one that is not attached."""

    def delete_customer(self, gateway_customer: str) -> None:
        """Delete the gateway's customer with its payment methods. No effect on one that the gateway does not know."""
