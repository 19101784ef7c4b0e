"""Storage of payments."""

from collections.abc import Iterator
from datetime import datetime
from typing import Protocol

from payments.domain.due import Due
from payments.domain.payment import Payment
from payments.ports.due_index import DueIndex


class AlreadyExists(Exception):
    """A payment with this id is already stored. `existing` is its row."""

    def __init__(self, existing: Payment) -> None:
        self.existing = existing
        super().__init__(f"payment {existing.payment_id} exists")


class VersionConflict(Exception):
    """Another execution changed the row meanwhile. Read it again and decide again."""


class PaymentStore(DueIndex, Protocol):
    """The payments table. Every write is conditional; every read by id is strongly consistent.

    An unsettled payment is in the index by due time from its creation (a payment of a batch: from its first change,
    because until then it waits in the queue) until the audit log covers a version of it in a settled status.
    """

    def create(self, payment: Payment) -> None:
        """Store version 1. Raises AlreadyExists with the existing row."""

    def get(self, payment_id: str) -> Payment | None:
        """The current row, or None."""

    def save(self, payment: Payment) -> None:
        """Replace the previous version (`payment.version - 1`) by `payment`. Raises VersionConflict.

        Does not change the marks that `AuditStore`, `BatchStore`, `claim_restart`, `postpone`, `prove_absent` and
        `mark_retried` write, and removes no reference that `keep_reference` wrote.
        """

    def look_again(self, payment: Payment, due: Due | None) -> None:
        """Set when recovery must look at the payment next, if the row is as given; None: never again."""

    def claim_restart(self, payment: Payment, at: datetime) -> Payment:
        """Count one more restart of the payment's given version. Raises VersionConflict for all callers but one."""

    def postpone(self, payment_id: str, until: datetime) -> None:
        """Set the payment's `not_before`, in any status and version. An earlier time than the stored one has no effect.

        The payment must exist.
        """

    def keep_reference(self, payment_id: str, reference: str, digest: str) -> None:
        """Set the payment's gateway reference and its digest, in any status and version. No effect if it has one.

        The payment must exist. Raises NotSealed for a reference in plain text.
        """

    def prove_absent(self, payment: Payment) -> None:
        """Set `absent_version` to the payment's given version. No effect if the row changed or has a reference."""

    def mark_retried(self, payment: Payment, retry_id: str) -> None:
        """Set `retried_as` of a payment at its given version and status. No effect if it is set to this id already.

        Raises VersionConflict if the row changed, or names another retry.
        """

    def forget_buyer(self, payment_id: str) -> None:
        """Remove `client_ip` and `card_counters` of a payment that must exist, in any status and version."""

    def of_batch(self, batch_id: str, after: int = 0) -> Iterator[Payment]:
        """The payments of a batch after a line, in the order of their lines. Eventually consistent."""


class NotStored(LookupError):
    """A payment that must exist has no row."""


def require(store: PaymentStore, payment_id: str) -> Payment:
    """The current row of a payment that must exist. Raises NotStored naming it."""
    payment = store.get(payment_id)
    if payment is None:
        raise NotStored(f"payment {payment_id} is not in the payments table")
    return payment
