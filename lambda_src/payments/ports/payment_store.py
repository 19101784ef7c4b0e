"""The ports to our own state. Adapters: `dynamodb.py` (real) and `memory.py` (twins that pass the same tests)."""

from collections.abc import Iterator
from datetime import datetime
from typing import Protocol

from payments.domain.payment import Payment


class AlreadyExists(Exception):
    """A payment with this id is stored already. `existing` is its row."""

    def __init__(self, existing: Payment) -> None:
        self.existing = existing
        super().__init__(f"payment {existing.payment_id} exists")


class VersionConflict(Exception):
    """Somebody else changed the row in between. Read it again and decide anew."""


class PaymentStore(Protocol):
    """The payments table. Every write is conditional; every read by id is strongly consistent."""

    def create(self, payment: Payment) -> None:
        """Store version 1. Raises AlreadyExists, with the row that was there first."""

    def get(self, payment_id: str) -> Payment | None:
        """The current row."""

    def save(self, payment: Payment) -> None:
        """Store `payment` over its previous version (`payment.version - 1`). Raises VersionConflict.

        Leaves the marks of others alone: `AuditStore`, `BatchStore` and `claim_restart` write those.
        """

    def unsettled(self, before: datetime) -> Iterator[str]:
        """The ids of payments created before a time that somebody still waits for. Eventually consistent.

        A payment is in from its creation on (one of a batch: from its first change, as until then it waits in the
        queue) until the audit log covers a version of it in a settled status.
        """

    def claim_restart(self, payment: Payment, at: datetime) -> Payment:
        """Count one more restart of a payment that stands as given. Raises VersionConflict for all but one."""

    def of_batch(self, batch_id: str) -> Iterator[Payment]:
        """The payments of a batch in the order of their lines. Eventually consistent."""


def require(store: PaymentStore, payment_id: str) -> Payment:
    """The current row of a payment that must be there. Raises LookupError naming it."""
    payment = store.get(payment_id)
    if payment is None:
        raise LookupError(f"payment {payment_id} is not in the payments table")
    return payment
