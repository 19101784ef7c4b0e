"""Lists of payments in pages, newest first."""

from datetime import datetime
from typing import Protocol

from payments.domain.listing import Cursor, Page
from payments.domain.statuses import Status


class PaymentListing(Protocol):
    """Payments from newest to oldest, at most `limit` (1 to 100), from `since` (inclusive) to `until` (exclusive).

    Eventually consistent. Without writes in between, all pages together contain every payment once.
    """

    def of_customer(
        self,
        customer_id: str,
        *,
        status: Status | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        limit: int,
        after: Cursor | None = None,
        submitted_by: str = "",
    ) -> Page:
        """One customer's payments by time of acceptance, only those submitted by `submitted_by` if it is given."""

    def all(
        self, *, status: Status | None = None, since: datetime, until: datetime, limit: int, after: Cursor | None = None
    ) -> Page:
        """The payments of all callers, by time of acceptance; with `status`, those in it by time of last change."""
