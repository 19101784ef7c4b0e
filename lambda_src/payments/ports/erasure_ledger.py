"""Which customers are erased, kept where the tables are not: a restore must not bring anybody back."""

from datetime import datetime
from typing import Protocol


class LedgerUnavailable(Exception):
    """The erasure is not noted, or may be. Nothing may be erased before it is."""


class ErasureLedger(Protocol):
    """The erased customers of an environment."""

    def add(self, customer_id: str, at: datetime) -> None:
        """Note an erasure. Safe to repeat. Raises LedgerUnavailable."""

    def all(self) -> dict[str, str]:
        """Customer id → when its erasure was last noted, in ISO."""
