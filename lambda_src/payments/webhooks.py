"""The gateway's events: stored once before they are acknowledged, and taken as a hint to ask what is true now.

An event's own content decides nothing: events come late, twice, in any order or never. So what an event says about a
payment is asked of the gateway, by the workflow, under the same rules as ever. That makes every order the right one.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from hashlib import sha256
from typing import Protocol

from payments.clock import Clock, parse_iso
from payments.statuses import CAPTURED, Status
from payments.stores.port import PaymentStore
from payments.workflow import Workflow

KEPT_PARKED = timedelta(days=7)
"""Stripe itself gives up on a delivery after three days; a payment that is not here by then is another system's."""

ASK_AGAIN = timedelta(minutes=5)
"""How old an event is when the gateway is asked a second time; then ten minutes, twenty, and so on."""

_REFUNDED = "charge.refunded"
_ABOUT_CHARGES = (
    "payment_intent.succeeded",
    "payment_intent.payment_failed",
    "payment_intent.canceled",
    "payment_intent.processing",
    "payment_intent.requires_action",
)
HANDLED = (*_ABOUT_CHARGES, _REFUNDED)
"""The event types that the endpoint has to be subscribed to. All others are acknowledged and ignored."""


class EventState(StrEnum):
    """What became of an event."""

    PARKED = "parked"
    """It came before its payment's row, while a workflow is at the payment, or the gateway was asked and has not
    answered yet: the sweeper looks again."""
    ASKS = "asks"
    """The workflow is to ask the gateway; never stored."""
    APPLIED = "applied"
    """The gateway was asked and has answered, or the row tells as much already."""
    IGNORED = "ignored"
    """Of no type that we handle, or about no payment of ours."""
    CONTRADICTS = "contradicts"
    """The gateway holds money for a payment that we say was not charged. A person must look."""


@dataclass(frozen=True, slots=True)
class GatewayEvent:
    """A verified event: ids and times only. `payment_id` is empty if it names none."""

    event_id: str
    type: str
    payment_id: str
    gateway_reference: str
    occurred_at: str
    received_at: str
    state: EventState = EventState.PARKED


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


@dataclass(frozen=True)
class Webhooks:
    """Receives events and applies them."""

    events: EventStore
    payments: PaymentStore
    workflow: Workflow
    clock: Clock

    def receive(self, event: GatewayEvent) -> EventState:
        """Store an event and apply it if its payment is ready for it. Once this returns it may be acknowledged.

        A repeated event is applied again as long as it is parked, and does nothing after.
        """
        if event.type not in HANDLED or not event.payment_id:
            return EventState.IGNORED
        state = self._state(event)
        asks = state is EventState.ASKS
        self.events.add(replace(event, state=EventState.PARKED if asks else state))
        return self._ask(event) if asks else state

    def apply(self, event: GatewayEvent) -> EventState:
        """Apply a parked event, or leave it parked. Safe to repeat."""
        state = self._state(event)
        if state is EventState.ASKS:
            return self._ask(event)
        if state is not EventState.PARKED:
            self.events.settle(event.event_id, state, self.clock())
        return state

    def _state(self, event: GatewayEvent) -> EventState:
        """What is to become of an event, as its payment stands now. Changes nothing."""
        payment = self.payments.get(event.payment_id)
        if payment is None:
            too_old = self.clock() - parse_iso(event.received_at) > KEPT_PARKED
            return EventState.IGNORED if too_old else EventState.PARKED
        match payment.status:
            case Status.PENDING:
                return EventState.PARKED
            case Status.PROCESSING if not payment.gateway_reference:
                return EventState.PARKED  # a workflow waits for the same answer, and mostly has it by now
            case Status.PROCESSING | Status.UNKNOWN | Status.REQUIRES_ACTION as status:
                says_the_same = event.type == f"payment_intent.{status}"
                return EventState.APPLIED if says_the_same else EventState.ASKS
            case Status.DECLINED | Status.REJECTED | Status.FAILED:
                money = event.type in ("payment_intent.succeeded", _REFUNDED)
                return EventState.CONTRADICTS if money else EventState.APPLIED
            case status if status in CAPTURED | {Status.IN_REVIEW} and event.type == _REFUNDED:
                return EventState.ASKS
        return EventState.APPLIED

    def _ask(self, event: GatewayEvent) -> EventState:
        """Have the workflow ask the gateway, one execution for each event, however often it comes.

        The event stays parked until the gateway has answered. While it gives no answer, the sweeper has it asked
        again each time the event is twice as old.
        """
        age = (self.clock() - parse_iso(event.received_at)) // ASK_AGAIN
        self.workflow.again(event.payment_id, occasion_of(event, age.bit_length()), ask=True, event_id=event.event_id)
        return EventState.PARKED


def occasion_of(event: GatewayEvent, attempt: int = 0) -> str:
    """The end of the name of the execution that an event starts at its first or a later attempt."""
    return f"e{sha256(event.event_id.encode()).hexdigest()[:9]}{attempt:02}"
