"""The in-memory fake of the lists of payments."""

from collections.abc import Callable
from datetime import datetime

from fakes.payments import MemoryPaymentStore
from payments.domain.clock import iso
from payments.domain.listing import Cursor, Page, Where
from payments.domain.payment import Payment


class MemoryPaymentListing:
    """Lists over the fake payments table. A call examines all rows."""

    def __init__(self, store: MemoryPaymentStore) -> None:
        self._store = store

    def of_customer(
        self,
        customer_id: str,
        *,
        where: Where,
        since: datetime | None = None,
        until: datetime | None = None,
        limit: int,
        after: Cursor | None = None,
    ) -> Page:
        """A page of one customer's payments, newest first."""
        rows = [row for row in self._store.rows.values() if row.customer_id == customer_id and where.admits(row)]
        return _page(rows, _accepted, since, until, limit, after)

    def of_metadata(
        self,
        metadata_hash: str,
        *,
        where: Where,
        since: datetime | None = None,
        until: datetime | None = None,
        limit: int,
        after: Cursor | None = None,
    ) -> Page:
        """A page of the payments with this hash, newest first."""
        rows = [row for row in self._store.rows.values() if row.metadata_hash == metadata_hash and where.admits(row)]
        return _page(rows, _accepted, since, until, limit, after)

    def of_batch(self, batch_id: str, *, where: Where, limit: int, after: Cursor | None = None) -> Page:
        """A page of a batch's payments, by their lines."""
        line = (after.line if after else None) or 0
        rows = [row for row in self._store.rows.values() if row.batch_id == batch_id and row.batch_line > line]
        asked = sorted(filter(where.admits, rows), key=lambda row: row.batch_line)
        more = len(asked) > limit
        return Page(asked[:limit], str(Cursor.of_line(asked[limit - 1].batch_line)) if more else "", len(rows))

    def all(self, *, where: Where, since: datetime, until: datetime, limit: int, after: Cursor | None = None) -> Page:
        """A page of all payments, newest first; with a status, by the time of their last change."""
        rows = [row for row in self._store.rows.values() if where.admits(row)]
        return _page(rows, (lambda row: row.updated_at) if where.status else _accepted, since, until, limit, after)


def _accepted(row: Payment) -> str:
    return row.created_at


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
    return Page(shown, str(Cursor(*position(shown[-1]))) if len(asked) > limit else "", len(rows))
