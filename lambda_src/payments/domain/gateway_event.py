"""The gateway's events: stored once before they are acknowledged, and taken as a hint to ask what is true now.

An event's own content decides nothing: events come late, twice, in any order or never. So what an event says about a
payment is asked of the gateway, by the workflow, under the same rules as ever. That makes every order the right one.
"""

from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256

REFUNDED = "charge.refunded"
_ABOUT_CHARGES = (
    "payment_intent.succeeded",
    "payment_intent.payment_failed",
    "payment_intent.canceled",
    "payment_intent.processing",
    "payment_intent.requires_action",
)
HANDLED = (*_ABOUT_CHARGES, REFUNDED)
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


def execution_suffix_of(event: GatewayEvent, attempt: int = 0) -> str:
    """The end of the name of the execution that an event starts at its first or a later attempt."""
    return f"e{sha256(event.event_id.encode()).hexdigest()[:9]}{attempt:02}"
