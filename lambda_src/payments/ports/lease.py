"""A lease on work that needs to be done by one run at a time."""

from datetime import datetime
from typing import Protocol


class Lease(Protocol):
    """It saves work and guards nothing: two runs that both believe to hold it must do no harm."""

    def take(self, owner: str, at: datetime, until: datetime) -> bool:
        """Take the lease until a time. False if another owner holds it at `at`."""

    def release(self, owner: str) -> None:
        """End the lease. No effect if another owner holds it."""
