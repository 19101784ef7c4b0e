"""Storage of customers."""

from typing import NamedTuple, Protocol

from payments.domain.customer import Customer
from payments.domain.listing import Cursor


class Found(NamedTuple):
    """A page of customers, oldest first, and where the next page begins: None on the last one. A page may be short."""

    customers: list[Customer]
    next: Cursor | None


class CustomerExists(Exception):
    """The customer_id is taken, possibly by an erased customer. `existing` is the row."""

    def __init__(self, existing: Customer) -> None:
        self.existing = existing
        super().__init__(f"customer {existing.customer_id} exists")


class CustomerStore(Protocol):
    """The customers table. Private fields are passed in and out encrypted."""

    def create(self, customer: Customer) -> None:
        """Store version 1. Raises CustomerExists with the existing row."""

    def get(self, customer_id: str) -> Customer | None:
        """The current row, including an erased one, or None. Strongly consistent."""

    def save(self, customer: Customer) -> None:
        """Replace the previous version (`customer.version - 1`) by `customer`. Nothing of the old version remains.

        Raises VersionConflict.
        """

    def find_by_email_hash(self, email_hash: str, limit: int, after: Cursor | None = None) -> Found:
        """Up to `limit` customers with this e-mail address, oldest first. A new one may be missing for a second."""
