"""Storage of the gateway's events."""

from datetime import datetime
from typing import Protocol

from payments.domain.gateway_event import EventState, GatewayEvent
from payments.ports.due_index import DueIndex


class EventStore(DueIndex, Protocol):
    """The gateway events table. A parked event is in the index by due time."""

    def add(self, event: GatewayEvent) -> bool:
        """Store an event. Returns False if it is already stored."""

    def settle(self, event_id: str, state: EventState, at: datetime) -> None:
        """Set the final state of an event. Only a parked event changes."""

    def identify(self, event: GatewayEvent) -> None:
        """Set the ids and the reference digest of an event that had no payment, and remove its reference. Only a parked
        event changes."""

    def get(self, event_id: str) -> GatewayEvent | None:
        """The event's current state, or None. Strongly consistent."""

    def look_again(self, event: GatewayEvent, at: datetime) -> None:
        """Set when recovery must look at the event next, after a look at `at`. Only a parked event changes."""

    def of_payment(self, payment_id: str) -> list[GatewayEvent]:
        """The events about a payment, oldest first. Eventually consistent."""
