"""Reads of next actions, within their own share of the gateway's rate."""

from dataclasses import dataclass
from datetime import timedelta

from payments.domain.clock import Clock
from payments.domain.errors import RateLimited
from payments.ports.limit_store import LimitStore, LimitsUnavailable
from payments.ports.next_actions import NextAction, NextActions

READS_PER_SECOND = 2
"""The most reads in one second of the clock, by all callers together. With the gateway rate limiter's 23 requests they
stay within the 25 a second of a Stripe sandbox (docs.stripe.com/rate-limits). In live mode, reads of a payment intent
have 25 a second for themselves, of which recovery uses the rest."""
WINDOW = timedelta(seconds=1)


@dataclass(frozen=True)
class RateLimitedNextActions:
    """Wraps NextActions. A read does not wait for a slot, because a client waits for the answer."""

    next_actions: NextActions
    limits: LimitStore
    clock: Clock

    def next_action(self, reference: str) -> NextAction | None:
        """Take a slot, then read. Raises RateLimited without a slot, and also if the slots cannot be counted."""
        ends = self.clock().replace(microsecond=0) + WINDOW
        try:
            taken = self.limits.count(f"next_action#{ends:%Y-%m-%dT%H:%M:%S}", ends)
        except LimitsUnavailable:
            raise RateLimited("slots_unknown", "the reads of next actions cannot be counted") from None
        if taken > READS_PER_SECOND:
            raise RateLimited("no_free_slot", "too many reads of next actions", retry_after_seconds=1)
        return self.next_actions.next_action(reference)
