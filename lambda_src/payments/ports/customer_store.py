"""The port to the customers table. Adapters: `customers_dynamodb.py` (real) and `customers_memory.py` (its twin)."""

from typing import Protocol

from payments.domain.customer import Customer


class CustomerExists(Exception):
    """The customer_id is taken, be it by an erased customer. `existing` is the row."""

    def __init__(self, existing: Customer) -> None:
        self.existing = existing
        super().__init__(f"customer {existing.customer_id} exists")


class CustomerStore(Protocol):
    """The customers table. Private fields come and go as they are stored: sealed."""

    def create(self, customer: Customer) -> None:
        """Store version 1. Raises CustomerExists, with the row that was there first."""

    def get(self, customer_id: str) -> Customer | None:
        """The current row, an erased one as well. Strongly consistent."""

    def save(self, customer: Customer) -> None:
        """Store `customer` in place of its previous version (`customer.version - 1`), of which nothing is left.

        Raises VersionConflict.
        """

    def find_by_email_hash(self, email_hash: str, limit: int) -> list[Customer]:
        """At most so many customers with this e-mail address, oldest first. A new one may be missing for a second."""
