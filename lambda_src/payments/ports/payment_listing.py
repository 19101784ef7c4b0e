"""Lists of payments in pages, newest first."""

from datetime import datetime
from typing import Protocol

from payments.domain.listing import Cursor, Page
from payments.domain.statuses import Status


class PaymentListing(Protocol):
    """Payments from the newest to the oldest, `limit` at most (1 to 100) of those from `since` on and before `until`.

    Eventually consistent. While nothing is written, the pages put together hold every payment once.
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
        """One customer's payments by the time of their acceptance; `submitted_by` narrows them to one submitter's."""

    def all(
        self, *, status: Status | None = None, since: datetime, until: datetime, limit: int, after: Cursor | None = None
    ) -> Page:
        """Everybody's, by the time of their acceptance; those in one status by the time of their last change."""
