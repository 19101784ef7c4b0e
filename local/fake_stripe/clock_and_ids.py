"""Injectable sources of time and ids, for tests."""

import secrets
from collections.abc import Callable
from datetime import UTC, datetime

Clock = Callable[[], datetime]
"""Returns the current time, timezone-aware and in UTC."""

NewId = Callable[[str], str]
"""Returns a new id with a prefix: "pi" → "pi_3f9c…"."""


def utc_now() -> datetime:
    """The real clock."""
    return datetime.now(UTC)


def random_id(prefix: str) -> str:
    """An id like Stripe's, unique across runs."""
    return f"{prefix}_{secrets.token_hex(12)}"
