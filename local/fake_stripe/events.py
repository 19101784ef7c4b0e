"""Stripe's events (docs.stripe.com/api/events): what changed, and which request changed it."""

import hmac
import json
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

API_VERSION = "2026-10-28.endive"
"""The endpoint's version, in whose shape the objects are."""


@dataclass(frozen=True, slots=True)
class Cause:
    """The API request that is being answered; empty for what happens by itself."""

    request_id: str = ""
    idempotency_key: str = ""


CAUSE: ContextVar[Cause] = ContextVar("cause", default=Cause())  # noqa: B039, as it is frozen
"""Of the running thread. Events are made deep below the road of the request, which alone knows it."""


def payload(event_id: str, kind: str, content: dict[str, Any], *, created: int) -> bytes:
    """The body of a delivery; `created` in Unix seconds."""
    cause = CAUSE.get()
    event = {
        "id": event_id,
        "object": "event",
        "api_version": API_VERSION,
        "created": created,
        "type": kind,
        "livemode": False,
        "pending_webhooks": 1,
        "request": {"id": cause.request_id or None, "idempotency_key": cause.idempotency_key or None},
        "data": {"object": content},
    }
    return json.dumps(event).encode()


def signature(body: bytes, secrets: tuple[str, ...], timestamp: int) -> str:
    """The `Stripe-Signature` header: one v1 per secret (docs.stripe.com/webhooks/signature)."""
    signed = b"%d." % timestamp + body
    return ",".join([f"t={timestamp}", *(f"v1={hmac.digest(s.encode(), signed, 'sha256').hex()}" for s in secrets)])
