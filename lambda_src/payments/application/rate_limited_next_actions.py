"""Reads of next actions, within the clients' share of the gateway's rate."""

from dataclasses import dataclass

from payments.application.client_requests import take_slot
from payments.domain.clock import Clock
from payments.ports.limit_store import LimitStore
from payments.ports.next_actions import NextAction, NextActions


@dataclass(frozen=True)
class RateLimitedNextActions:
    """Wraps NextActions. A read does not wait for a slot, because a client waits for the answer."""

    next_actions: NextActions
    limits: LimitStore
    clock: Clock

    def next_action(self, reference: str) -> NextAction | None:
        """Take a slot, then read. Raises RateLimited without a slot, and also if the slots cannot be counted."""
        take_slot(self.limits, self.clock)
        return self.next_actions.next_action(reference)
