"""The in-memory fake of the gateway events table."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime

from payments.domain.gateway_event import EventState, GatewayEvent


class MemoryEventStore:
    """The events in a dict."""

    def __init__(self) -> None:
        self.events: dict[str, GatewayEvent] = {}

    def add(self, event: GatewayEvent) -> bool:
        """Store an event. False if it is already stored."""
        return self.events.setdefault(event.event_id, event) is event

    def settle(self, event_id: str, state: EventState, at: datetime) -> None:  # noqa: ARG002 - nothing expires here
        """Set the state of a parked event. No effect on others."""
        stored = self.events.get(event_id)
        if stored and stored.state is EventState.PARKED:
            self.events[event_id] = replace(stored, state=state)

    def identify(self, event: GatewayEvent) -> None:
        """Set the ids and the digest of a parked event, and remove its reference. No effect on others."""
        stored = self.events.get(event.event_id)
        if stored and stored.state is EventState.PARKED:
            self.events[event.event_id] = replace(
                stored,
                payment_id=event.payment_id,
                environment_id=event.environment_id,
                reference_digest=event.reference_digest,
                gateway_reference="",
            )

    def parked(self) -> Iterator[GatewayEvent]:
        """The parked events, oldest first."""
        waiting = [event for event in self.events.values() if event.state is EventState.PARKED]
        return iter(sorted(waiting, key=lambda event: event.received_at))

    def of_payment(self, payment_id: str) -> list[GatewayEvent]:
        """The events of a payment, oldest first."""
        about = [event for event in self.events.values() if event.payment_id == payment_id]
        return sorted(about, key=lambda event: event.received_at)
