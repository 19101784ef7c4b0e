"""The share of the gateway's rate for requests that a client of the API waits for."""

from datetime import timedelta

from payments.domain.clock import Clock
from payments.domain.errors import RateLimited
from payments.ports.limit_store import LimitStore, LimitsUnavailable

REQUESTS_PER_SECOND = 2
"""The most requests in one second of the clock, by all callers together. With the gateway rate limiter's 23 requests
they stay within the 25 a second of a Stripe sandbox (docs.stripe.com/rate-limits) while recovery reads no list. In live
mode, each endpoint has 25 a second for itself."""
WINDOW = timedelta(seconds=1)


def take_slot(limits: LimitStore, clock: Clock) -> None:
    """Take a slot for one request, without waiting. Raises RateLimited without one, and if they cannot be counted."""
    ends = clock().replace(microsecond=0) + WINDOW
    try:
        taken = limits.count(f"client_requests#{ends:%Y-%m-%dT%H:%M:%S}", ends)
    except LimitsUnavailable:
        raise RateLimited("slots_unknown", "the requests to the gateway cannot be counted") from None
    if taken > REQUESTS_PER_SECOND:
        raise RateLimited("no_free_slot", "too many requests to the gateway", retry_after_seconds=1)
