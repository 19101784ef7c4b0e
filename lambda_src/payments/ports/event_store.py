"""Storage of the gateway's events."""

from collections.abc import Iterator
from datetime import datetime
from typing import Protocol

from payments.domain.gateway_event import EventState, GatewayEvent


class EventStore(Protocol):
    """The gateway events table."""

    def add(self, event: GatewayEvent) -> bool:
        """Store an event. Returns False if it is already stored."""

    def settle(self, event_id: str, state: EventState, at: datetime) -> None:
        """Set the final state of an event. Only a parked event changes."""

    def identify(self, event: GatewayEvent) -> None:
        """Set the ids and the reference digest of an event that had no payment, and remove its reference. Only a parked
        event changes."""

    def parked(self) -> Iterator[GatewayEvent]:
        """The parked events, oldest first. Eventually consistent."""

    def of_payment(self, payment_id: str) -> list[GatewayEvent]:
        """The events about a payment, oldest first. Eventually consistent."""
