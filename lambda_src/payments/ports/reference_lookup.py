"""Which payment a charge at the gateway belongs to."""

from typing import Protocol


class ReferenceLookup(Protocol):
    """Reads a charge's own metadata at the gateway. Each call is one request."""

    def ids_of(self, reference: str) -> tuple[str, str]:
        """The payment id and the environment id of a charge; both empty if it is none of ours.

        Raises RateLimited, NotSent, OutcomeUnknown (CHARGE_NOT_FOUND if there is no such charge) or Misconfigured.
        """
