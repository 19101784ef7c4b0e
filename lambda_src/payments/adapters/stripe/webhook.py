"""Stripe's webhooks: verify the signature, and read the event."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import stripe

from payments.adapters.stripe.modes import mode_of_object
from payments.domain.clock import Clock, iso
from payments.domain.gateway_event import CUSTOMER_KEY, SET_UP, CardSaved, GatewayEvent
from payments.domain.payment import ENVIRONMENT, PAYMENT_ID

TOLERANCE_SECONDS = 300
"""The maximum age of a signature: Stripe's own libraries accept five minutes."""
_PARTS = ("charge", "refund")
"""Objects that name their payment intent. A refund has metadata of its own, without our payment id."""


class BadSignature(Exception):
    """The request is not from Stripe, too old, or changed. Its content must not be used."""


class UnreadableEvent(Exception):
    """Signed by Stripe, but not a readable event."""


class EventOfOtherMode(Exception):
    """Signed by Stripe, but from its other mode: a test event must not change a live payment."""


def verified_event(
    body: bytes, signature: str, secrets: Sequence[str], *, clock: Clock, mode: str = ""
) -> GatewayEvent | CardSaved:
    """The event in a request whose `Stripe-Signature` matches one of the endpoint's secrets (two during a rotation).

    Reads only ids, times and the mode from it. Raises BadSignature and UnreadableEvent, and EventOfOtherMode if `mode`
    is not the event's.
    """
    if not any(_fits(body, signature, secret) for secret in secrets):
        raise BadSignature("the Stripe-Signature header does not match the body, or is older than five minutes")
    try:
        event = json.loads(body)
        about = event["data"]["object"]
        of_event = mode_of_object(event.get("livemode"))
        if mode and of_event not in ("", mode):
            raise EventOfOtherMode(
                f"the event is from Stripe's {of_event} mode, and this environment is in {mode} mode"
            )
        occurred_at = iso(datetime.fromtimestamp(int(event["created"]), UTC))
        if event["type"] == SET_UP:
            return CardSaved(
                event_id=_word(event["id"]),
                type=SET_UP,
                customer_id=_ours(about, CUSTOMER_KEY),
                environment_id=_ours(about, ENVIRONMENT),
                gateway_customer=_word(about["customer"]),
                payment_method=_word(about["payment_method"]),
                occurred_at=occurred_at,
            )
        of_refund = about["object"] == "refund"  # its metadata is that of the system which made it
        return GatewayEvent(
            event_id=_word(event["id"]),
            type=_word(event["type"]),
            payment_id="" if of_refund else _ours(about, "payment_id"),
            environment_id="" if of_refund else _ours(about, ENVIRONMENT),
            gateway_reference=_word(about["payment_intent"] if about["object"] in _PARTS else about["id"]),
            occurred_at=occurred_at,
            received_at=iso(clock()),
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError, OSError):
        raise UnreadableEvent("the body is not an event of Stripe's") from None


def _fits(body: bytes, signature: str, secret: str) -> bool:
    try:
        stripe.WebhookSignature.verify_header(body, signature, secret, TOLERANCE_SECONDS)
    except (stripe.SignatureVerificationError, ValueError, TypeError):  # the last two: the header or body is not text
        return False
    return True


def _ours(about: Mapping[str, Any], name: str) -> str:
    """One of our ids in an object's metadata, or "" if the object does not have it."""
    metadata = about.get("metadata")
    value = metadata.get(name, "") if isinstance(metadata, Mapping) else ""
    return value if isinstance(value, str) and PAYMENT_ID.fullmatch(value) else ""


def _word(value: object) -> str:
    """An id or a type that may be stored and logged. Raises ValueError for other values."""
    if value is None:
        return ""
    if not isinstance(value, str) or not value.isascii() or not value.isprintable() or len(value) > 255:
        raise ValueError("not an id")
    return value
