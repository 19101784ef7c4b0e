"""Time and ids as things that are handed in, so that a test owns both."""

import secrets
from collections.abc import Callable
from datetime import UTC, datetime

Clock = Callable[[], datetime]
"""Gives the current time, aware and in UTC."""

NewId = Callable[[str], str]
"""Gives a new id with a prefix: "pi" → "pi_3f9c…"."""


def utc_now() -> datetime:
    """The real clock."""
    return datetime.now(UTC)


def random_id(prefix: str) -> str:
    """An id like Stripe's, that no other run gives again."""
    return f"{prefix}_{secrets.token_hex(12)}"
