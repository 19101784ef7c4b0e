"""The in-memory fake of the lists of payments."""

from collections.abc import Callable
from datetime import datetime

from fakes.payments import MemoryPaymentStore
from payments.domain.clock import iso
from payments.domain.listing import Cursor, Page
from payments.domain.payment import Payment
from payments.domain.statuses import Status


class MemoryPaymentListing:
    """Lists over the fake payments table."""

    def __init__(self, store: MemoryPaymentStore) -> None:
        self._store = store

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
        """A page of one customer's payments, newest first."""
        rows = [
            row
            for row in self._store.rows.values()
            if row.customer_id == customer_id
            and status in (None, row.status)
            and submitted_by in ("", row.submitted_by)
        ]
        return _page(rows, lambda row: row.created_at, since, until, limit, after)

    def all(
        self, *, status: Status | None = None, since: datetime, until: datetime, limit: int, after: Cursor | None = None
    ) -> Page:
        """A page of all payments, newest first; with `status`, by the time of their last change."""
        rows = [row for row in self._store.rows.values() if status in (None, row.status)]
        return _page(rows, lambda row: row.updated_at if status else row.created_at, since, until, limit, after)


def _page(
    rows: list[Payment],
    time: Callable[[Payment], str],
    since: datetime | None,
    until: datetime | None,
    limit: int,
    after: Cursor | None,
) -> Page:
    def position(row: Payment) -> tuple[str, str]:
        return time(row), row.payment_id

    asked = [
        row
        for row in sorted(rows, key=position, reverse=True)
        if (since is None or time(row) >= iso(since))
        and (until is None or time(row) < iso(until))
        and (after is None or position(row) < (after.at, after.payment_id))
    ]
    shown = asked[:limit]
    return Page(shown, str(Cursor(*position(shown[-1]))) if len(asked) > limit else "")
