"""Erased customers in memory."""

from datetime import datetime

from payments.domain.clock import iso
from payments.ports.erasure_ledger import LedgerUnavailable


class MemoryErasureLedger:
    """A dict. `is_down` makes it unreachable."""

    def __init__(self) -> None:
        self.erased: dict[str, str] = {}
        self.is_down = False

    def add(self, customer_id: str, at: datetime) -> None:
        """Note an erasure. Raises LedgerUnavailable."""
        if self.is_down:
            raise LedgerUnavailable("the ledger is down")
        self.erased[customer_id] = iso(at)

    def all(self) -> dict[str, str]:
        """All erasures."""
        return dict(self.erased)
