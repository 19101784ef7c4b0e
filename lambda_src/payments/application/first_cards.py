"""The first card that a customer saves becomes its default payment method."""

from dataclasses import dataclass

from payments.domain.clock import Clock, parse_iso
from payments.domain.customer import Customer, changed
from payments.domain.gateway_event import CardSaved, EventState
from payments.domain.payment import PAYMENT_METHOD
from payments.ports.customer_store import CustomerStore
from payments.ports.field_encryptor import FieldEncryptor
from payments.ports.payment_store import VersionConflict

_TRIES = 5
_DEFAULT = "default_payment_method"


@dataclass(frozen=True)
class FirstCards:
    """Applies the gateway's events about saved cards. Such an event is not stored: it has no effect but this one, and
    the gateway sends it again until it is acknowledged."""

    customers: CustomerStore
    encryptor: FieldEncryptor
    clock: Clock
    environment_id: str

    def receive(self, event: CardSaved) -> EventState:
        """Set the default if the customer has none. It is safe to repeat.

        Ignores events of other environments and about unknown or erased customers. Raises EncryptionUnavailable, and
        VersionConflict if the customer changes all the time; the gateway then sends the event again.
        """
        if event.environment_id != self.environment_id or not PAYMENT_METHOD.fullmatch(event.payment_method):
            return EventState.IGNORED
        for _ in range(_TRIES):
            customer = self.customers.get(event.customer_id) if event.customer_id else None
            if customer is None or not customer.gateway_customer or customer.gateway_customer != event.gateway_customer:
                return EventState.IGNORED
            if customer.default_payment_method or _is_removed(customer, event):
                return EventState.APPLIED
            sealed = self.encryptor.seal(customer.context, {_DEFAULT: event.payment_method})
            try:
                self.customers.save(changed(customer, sealed, at=self.clock()))
            except VersionConflict:
                continue
            return EventState.APPLIED
        raise VersionConflict(f"customer {event.customer_id} changes all the time")


def _is_removed(customer: Customer, event: CardSaved) -> bool:
    """True if a default was removed, or a card detached, after the card was saved: it may be this one. Events are
    repeated for days, and their times are in whole seconds."""
    removed_at = customer.default_removed_at
    return bool(removed_at) and parse_iso(removed_at).replace(microsecond=0) >= parse_iso(event.occurred_at)
