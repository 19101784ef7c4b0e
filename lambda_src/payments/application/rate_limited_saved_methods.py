"""Requests about saved payment methods, within the clients' share of the gateway's rate."""

from collections.abc import Sequence
from dataclasses import dataclass

from payments.application.client_requests import take_slot
from payments.domain.clock import Clock
from payments.ports.limit_store import LimitStore
from payments.ports.saved_methods import SavedMethod, SavedMethods, Setup


@dataclass(frozen=True)
class RateLimitedSavedMethods:
    """Wraps SavedMethods. Each call takes a slot of its own and raises RateLimited without one."""

    methods: SavedMethods
    limits: LimitStore
    clock: Clock

    def create_customer(self, customer_id: str) -> str:
        """Take a slot, then create the customer."""
        take_slot(self.limits, self.clock)
        return self.methods.create_customer(customer_id)

    def start_setup(self, gateway_customer: str, customer_id: str) -> Setup:
        """Take a slot, then start the setup."""
        take_slot(self.limits, self.clock)
        return self.methods.start_setup(gateway_customer, customer_id)

    def of(self, gateway_customer: str) -> Sequence[SavedMethod]:
        """Take a slot, then list the payment methods."""
        take_slot(self.limits, self.clock)
        return self.methods.of(gateway_customer)

    def detach(self, method_id: str) -> None:
        """Take a slot, then detach the payment method."""
        take_slot(self.limits, self.clock)
        self.methods.detach(method_id)

    def delete_customer(self, gateway_customer: str) -> None:
        """Take a slot, then delete the customer."""
        take_slot(self.limits, self.clock)
        self.methods.delete_customer(gateway_customer)
