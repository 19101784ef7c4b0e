"""Stripe's webhook: is it Stripe that calls, and what does the event speak of?"""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import stripe

from payments.domain.clock import Clock, iso
from payments.domain.gateway_event import GatewayEvent
from payments.domain.payment import PAYMENT_ID

TOLERANCE_SECONDS = 300
"""How old a signature may be: Stripe's own libraries take five minutes."""


class BadSignature(Exception):
    """The request is not Stripe's, not of now, or not as Stripe sent it. Nothing of it may be used."""


class UnreadableEvent(Exception):
    """Signed by Stripe, and still no event."""


def verified_event(body: bytes, signature: str, secrets: Sequence[str], *, clock: Clock) -> GatewayEvent:
    """The event in a request whose `Stripe-Signature` fits one of the endpoint's secrets (two while one is rotated).

    Takes ids and times from it and nothing else. Raises BadSignature and UnreadableEvent.
    """
    if not any(_fits(body, signature, secret) for secret in secrets):
        raise BadSignature("the Stripe-Signature header does not fit the body, or is older than five minutes")
    try:
        event = json.loads(body)
        about = event["data"]["object"]
        return GatewayEvent(
            event_id=_word(event["id"]),
            type=_word(event["type"]),
            payment_id=_payment_id(about),
            gateway_reference=_word(about["payment_intent"] if about["object"] == "charge" else about["id"]),
            occurred_at=iso(datetime.fromtimestamp(int(event["created"]), UTC)),
            received_at=iso(clock()),
        )
    except (ValueError, KeyError, TypeError, RecursionError, OverflowError):
        raise UnreadableEvent("the body is not an event of Stripe's") from None


def _fits(body: bytes, signature: str, secret: str) -> bool:
    try:
        stripe.WebhookSignature.verify_header(body, signature, secret, TOLERANCE_SECONDS)
    except (stripe.SignatureVerificationError, ValueError, TypeError):  # the latter two: not text at all
        return False
    return True


def _payment_id(about: Mapping[str, Any]) -> str:
    """Our payment id in an object's metadata; empty if the object is none of ours."""
    metadata = about.get("metadata")
    payment_id = metadata.get("payment_id", "") if isinstance(metadata, Mapping) else ""
    return payment_id if isinstance(payment_id, str) and PAYMENT_ID.fullmatch(payment_id) else ""


def _word(value: object) -> str:
    """An id or a type as it may be stored and logged. Raises ValueError."""
    if value is None:
        return ""
    if not isinstance(value, str) or not value.isascii() or not value.isprintable() or len(value) > 255:
        raise ValueError("not an id")
    return value
