"""Time as an argument, so that tests and the simulation control it."""

from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache

Clock = Callable[[], datetime]
"""Returns the current time, timezone-aware and in UTC."""


def utc_now() -> datetime:
    """The real clock."""
    return datetime.now(UTC)


@lru_cache(maxsize=64)  # the rows of a file that are stored together share one time
def iso(moment: datetime) -> str:
    """ISO 8601 in UTC with milliseconds and `Z`. The alphabetical order is the order of time."""
    if moment.tzinfo is None:
        raise ValueError(f"naive time {moment!r}: pass an aware datetime in UTC")
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def parse_iso(text: str) -> datetime:
    """The inverse of `iso`."""
    return datetime.fromisoformat(text)
