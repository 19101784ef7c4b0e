"""Stripe's events (docs.stripe.com/api/events): a change and the request that caused it."""

import hmac
import json
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

API_VERSION = "2026-10-28.endive"
"""The API version of the endpoint, which defines the shape of the objects."""


@dataclass(frozen=True, slots=True)
class Cause:
    """The API request that caused the event. Empty for a change without a request."""

    request_id: str = ""
    idempotency_key: str = ""
    api_key: str = field(default="", repr=False)


CAUSE: ContextVar[Cause] = ContextVar("cause", default=Cause())  # noqa: B039, as it is frozen
"""The cause in the current thread. Events are created deep below the code that knows the request."""


def payload(event_id: str, kind: str, content: dict[str, Any], *, created: int) -> bytes:
    """The body of a delivery. `created` is in Unix seconds."""
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
