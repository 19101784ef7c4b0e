"""Look-ups of references, within the clients' share of the gateway's rate."""

from dataclasses import dataclass

from payments.application.client_requests import take_slot
from payments.domain.clock import Clock
from payments.ports.limit_store import LimitStore
from payments.ports.reference_lookup import ReferenceLookup


@dataclass(frozen=True)
class RateLimitedReferenceLookup:
    """Wraps ReferenceLookup. A look-up does not wait for a slot, because a client waits for the answer."""

    lookup: ReferenceLookup
    limits: LimitStore
    clock: Clock

    def ids_of(self, reference: str) -> tuple[str, str]:
        """Take a slot, then ask. Raises RateLimited without a slot, and also if the slots cannot be counted."""
        take_slot(self.limits, self.clock)
        return self.lookup.ids_of(reference)
