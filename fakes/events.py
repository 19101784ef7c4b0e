"""The in-memory fake of the gateway events table."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime

from fakes.due_index import MemoryDueIndex
from payments.domain.clock import parse_iso
from payments.domain.due import Due
from payments.domain.gateway_event import EventState, GatewayEvent, event_due


class MemoryEventStore(MemoryDueIndex):
    """The events in a dict."""

    def __init__(self) -> None:
        self.events: dict[str, GatewayEvent] = {}
        self._looked_at: dict[str, datetime] = {}
        self._known: dict[str, tuple[GatewayEvent, datetime | None, Due | None]] = {}
        """The due times, each with what it was computed from: the simulation asks for all of them all the time."""

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

    def get(self, event_id: str) -> GatewayEvent | None:
        """The event's current state, or None."""
        return self.events.get(event_id)

    def look_again(self, event: GatewayEvent, at: datetime) -> None:
        """Note the look, which decides the next due time."""
        self._looked_at[event.event_id] = at

    def keys(self) -> Iterator[tuple[str, Due]]:
        """The due time of each parked event."""
        for event_id, event in self.events.items():
            due = self._due(event)
            if due:
                yield event_id, due

    def _due(self, event: GatewayEvent) -> Due | None:
        looked_at, known = self._looked_at.get(event.event_id), self._known.get(event.event_id)
        if known is None or known[0] is not event or known[1] is not looked_at:
            due = event_due(event, looked_at or parse_iso(event.received_at))
            known = self._known[event.event_id] = event, looked_at, due
        return known[2]

    def parked(self) -> Iterator[GatewayEvent]:
        """The parked events, oldest first."""
        waiting = [event for event in self.events.values() if event.state is EventState.PARKED]
        return iter(sorted(waiting, key=lambda event: event.received_at))

    def of_payment(self, payment_id: str) -> list[GatewayEvent]:
        """The events of a payment, oldest first."""
        about = [event for event in self.events.values() if event.payment_id == payment_id]
        return sorted(about, key=lambda event: event.received_at)
