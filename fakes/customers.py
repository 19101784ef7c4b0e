"""The in-memory fake of the customers table."""

from payments.domain.customer import Customer
from payments.domain.listing import Cursor
from payments.ports.customer_store import CustomerExists, Found
from payments.ports.payment_store import VersionConflict


class MemoryCustomerStore:
    """The customers table in a dict."""

    def __init__(self, *customers: Customer) -> None:
        self.rows = {customer.customer_id: customer for customer in customers}

    def create(self, customer: Customer) -> None:
        """Store version 1. Raises CustomerExists with the existing row."""
        existing = self.rows.setdefault(customer.customer_id, customer)
        if existing is not customer:
            raise CustomerExists(existing)

    def get(self, customer_id: str) -> Customer | None:
        """The current row, including an erased one, or None."""
        return self.rows.get(customer_id)

    def save(self, customer: Customer) -> None:
        """Replace the previous version. Raises VersionConflict."""
        current = self.rows.get(customer.customer_id)
        if current is None or current.version != customer.version - 1:
            raise VersionConflict(f"customer {customer.customer_id} is not at version {customer.version - 1}")
        self.rows[customer.customer_id] = customer

    def find_by_email_hash(self, email_hash: str, limit: int, after: Cursor | None = None) -> Found:
        """Up to `limit` customers with this e-mail address, oldest first."""
        places = sorted((r.created_at, r.customer_id) for r in self.rows.values() if r.email_hash == email_hash)
        left = [place for place in places if after is None or place > (after.at, after.payment_id)]
        rows = [self.rows[customer_id] for _, customer_id in left[:limit]]
        return Found(rows, Cursor(*left[limit - 1]) if len(left) > limit else None)
