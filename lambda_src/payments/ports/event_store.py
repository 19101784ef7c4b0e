"""Storage of the gateway's events."""

from collections.abc import Iterator
from datetime import datetime
from typing import Protocol

from payments.domain.gateway_event import EventState, GatewayEvent


class EventStore(Protocol):
    """The events table. Adapters: `stores/events_dynamodb.py` and `stores/events_memory.py`."""

    def add(self, event: GatewayEvent) -> bool:
        """Store an event. False if it is there already."""

    def settle(self, event_id: str, state: EventState, at: datetime) -> None:
        """Say what became of an event. Only a parked one changes."""

    def parked(self) -> Iterator[GatewayEvent]:
        """The parked events, oldest first. Eventually consistent."""

    def of_payment(self, payment_id: str) -> list[GatewayEvent]:
        """The events about a payment, oldest first. Eventually consistent."""
