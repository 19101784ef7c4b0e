"""Storage of refunds."""

from datetime import datetime
from typing import NamedTuple, Protocol

from payments.domain.due import Due
from payments.domain.payment import Payment
from payments.domain.refund import Refund
from payments.domain.refund_statuses import RefundStatus
from payments.ports.due_index import DueIndex


class RefundExists(Exception):
    """A refund with this id is already stored. `existing` is its row."""

    def __init__(self, existing: Refund) -> None:
        self.existing = existing
        super().__init__(f"refund {existing.refund_id} exists")


class RefundPage(NamedTuple):
    """A page of refunds, newest change first, and where the next one begins; "" for the last page."""

    refunds: list[Refund]
    next_after: str = ""


class RefundStore(DueIndex, Protocol):
    """The refunds table. Each change of a refund is one transaction with the next version of its payment's row, which
    holds the reserved amount. Every read by id is strongly consistent."""

    def create(self, refund: Refund, payment: Payment) -> None:
        """Store version 1 of a refund, and replace the previous version of its payment.

        Raises RefundExists with the existing row, and VersionConflict if the payment changed.
        """

    def get(self, refund_id: str) -> Refund | None:
        """The current row, or None."""

    def save(self, refund: Refund, payment: Payment) -> None:
        """Replace the previous versions of a refund and of its payment. Raises VersionConflict if one of them changed.

        Of the payment, it changes the status, the history and the amounts that `booked` changes. Of the refund, it
        does not change the marks that `claim_restart` and `postpone` write.
        """

    def claim_restart(self, refund: Refund, at: datetime) -> Refund:
        """Count one more restart of the refund's given version. Raises VersionConflict for all callers but one."""

    def postpone(self, refund_id: str, until: datetime) -> None:
        """Set the refund's `not_before`. An earlier time than the stored one has no effect. The refund must exist."""

    def look_again(self, refund: Refund, due: Due | None) -> None:
        """Set when recovery must look at the refund next, if the row is as given; None: never again."""

    def of_payment(self, payment_id: str) -> list[Refund]:
        """The refunds of a payment, oldest first. Eventually consistent."""

    def of_day(self, status: RefundStatus, day: str, limit: int, after: str = "") -> RefundPage:
        """The refunds that came to a status on a day such as 2026-11-21. Eventually consistent."""


class RefundNotStored(LookupError):
    """A refund that must exist has no row."""


def require_refund(store: RefundStore, refund_id: str) -> Refund:
    """The current row of a refund that must exist. Raises RefundNotStored naming it."""
    refund = store.get(refund_id)
    if refund is None:
        raise RefundNotStored(f"refund {refund_id} is not in the refunds table")
    return refund
