"""Lists of payments in pages, newest first."""

from datetime import datetime
from typing import Protocol

from payments.domain.listing import Cursor, Page, Where


class PaymentListing(Protocol):
    """Payments from newest to oldest, at most `limit` (1 to 100), from `since` (inclusive) to `until` (exclusive).

    Only those that `where` admits. A call examines a bounded number of rows: a page may be short, or empty, and still
    have a next one. Eventually consistent. Without writes in between, all pages together contain every payment once.
    """

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
        """One customer's payments by time of acceptance."""

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
        """The payments with a searchable entry of metadata, by time of acceptance. `metadata_hash` is its hash."""

    def of_batch(self, batch_id: str, *, where: Where, limit: int, after: Cursor | None = None) -> Page:
        """The payments that a batch created, by their lines. `after` is a cursor of this list."""

    def all(self, *, where: Where, since: datetime, until: datetime, limit: int, after: Cursor | None = None) -> Page:
        """The payments of all callers, by time of acceptance; with a status, those in it by time of last change."""
