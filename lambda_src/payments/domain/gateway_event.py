"""The gateway's events: each is stored once before it is acknowledged, and triggers a query to the gateway.

The content of an event decides nothing, because events can arrive late, twice, out of order or not at all. The
workflow queries the gateway for the payment instead, under the same rules as for every charge. The order of events
therefore does not matter.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from hashlib import sha256

from payments.domain.clock import iso, parse_iso
from payments.domain.due import Due, Kind

CUSTOMER_KEY = "customer_id"
"""The key of our customer's id in the metadata of a customer and a setup at the gateway."""
REFUNDS = (
    "charge.refunded",  # its object is the charge, with our payment id; it does not tell that a refund failed
    "charge.refund.updated",  # the object of this one and all below is the refund, without our payment id
    "refund.created",
    "refund.updated",
    "refund.failed",
)
MONEY = ("payment_intent.succeeded", *REFUNDS)
"""The event types that say that the gateway captured money."""
_ABOUT_CHARGES = (
    "payment_intent.succeeded",
    "payment_intent.payment_failed",
    "payment_intent.canceled",
    "payment_intent.processing",
    "payment_intent.requires_action",
)
SET_UP = "setup_intent.succeeded"
HANDLED = (*_ABOUT_CHARGES, *REFUNDS, SET_UP)
"""The event types that the endpoint must subscribe to. All others are acknowledged and ignored."""


class EventState(StrEnum):
    """The state of an event."""

    PARKED = "parked"
    """The event waits: its payment is not stored yet, a workflow is processing the payment, or the gateway was queried
    and has not answered yet. Recovery checks again."""
    ASKS = "asks"
    """The workflow must query the gateway. This state is never stored."""
    APPLIED = "applied"
    """The gateway was queried and has answered, or the row already has the event's status."""
    IGNORED = "ignored"
    """The type is not handled, or the event is not about one of our payments."""
    CONTRADICTS = "contradicts"
    """The gateway holds money for a payment that we recorded as not charged, or the event is about another charge than
    the payment's. An operator must decide."""


@dataclass(frozen=True, slots=True)
class GatewayEvent:
    """A verified event: ids and times only. `payment_id` is empty if the event names no payment. The charge of a refund
    then leads to the payment.

    `environment_id` is the environment whose payment it is, if the event says so.

    `gateway_reference` is stored only where it is needed, and encrypted unless it is the plain id of a charge.
    `reference_digest` compares it.
    """

    event_id: str
    type: str
    payment_id: str
    gateway_reference: str
    occurred_at: str
    received_at: str
    state: EventState = EventState.PARKED
    reference_digest: str = ""
    environment_id: str = ""


ASK_AGAIN = timedelta(minutes=5)
"""The age of an event at the gateway's second query. Later queries follow after 10 minutes, 20 minutes and so on."""
_LOOK_AGAIN = timedelta(minutes=1)


def event_due(event: GatewayEvent, now: datetime) -> Due | None:
    """When recovery must look at an event next, as of `now`; None unless it is parked.

    At once, then each minute until the gateway's second query, then each time the event is twice as old. An event of
    another system on the same account is therefore looked at a dozen times in the week until it is given up.
    """
    if event.state is not EventState.PARKED:
        return None
    kind = Kind.EVENT if event.payment_id else Kind.REFUND
    received_at = parse_iso(event.received_at)
    if now <= received_at:
        return Due(kind, iso(received_at))
    if now + _LOOK_AGAIN < received_at + ASK_AGAIN:
        return Due(kind, iso(now + _LOOK_AGAIN))
    doublings = ((now - received_at) // ASK_AGAIN).bit_length()
    return Due(kind, iso(received_at + ASK_AGAIN * 2**doublings))


@dataclass(frozen=True, slots=True)
class CardSaved:
    """A verified event: a customer saved a card. `customer_id` and `environment_id` are ours, from the metadata that we
    gave the setup, or "". The payment method is stored only encrypted."""

    event_id: str
    type: str
    customer_id: str
    environment_id: str
    gateway_customer: str
    payment_method: str = field(repr=False)
    occurred_at: str


def execution_suffix_of(event: GatewayEvent, attempt: int = 0) -> str:
    """The suffix of the execution's name that an event starts at its first attempt (0) or a later one."""
    return f"e{sha256(event.event_id.encode()).hexdigest()[:9]}{attempt:02}"
