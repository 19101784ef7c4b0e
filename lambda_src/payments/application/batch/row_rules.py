"""Whose a file is, and which of its rows its owner may submit.

A file below `incoming/merchants/<merchant>/` is that merchant's, and its rows obey the same rules as its requests over
REST. Every other file is the admins'.
"""

from dataclasses import dataclass, field

from payments.application.id_rules import IdRules
from payments.domain.batch.errors import CellError, FileError
from payments.domain.batch.state import MERCHANTS, Source
from payments.domain.customer import Customer
from payments.domain.identity import Caller, Role
from payments.domain.ownership import owns
from payments.domain.payment import PaymentRequest

MOST_REMEMBERED = 10_000
"""How many customers of a file are remembered, so that each costs one read a run."""
_OF_A_FILE = Caller("", frozenset({Role.ADMIN}))
"""Who submits the rows of the admins' files. Their payments name no submitter."""


@dataclass
class RowRules:
    """The rules for the rows of one file, which `owner` submits."""

    owner: Caller
    ids: IdRules
    _known: dict[str, str] = field(default_factory=dict)

    def refuses(self, request: PaymentRequest) -> tuple[str, str, str] | None:
        """The column, the reason and what to do; None for a row that its owner may submit."""
        if why := self.ids.refuses_payment(request.payment_id, self.owner):
            return "payment_id", why, "use another payment_id"
        if self.owner.has(Role.ADMIN):
            return None  # everybody's payments and customers
        if self.ids.is_retry_of_another(request.payment_id, self.owner):
            return "payment_id", "the payment_id is taken", "use another payment_id"
        if request.customer_id and (why := self._customer(request.customer_id)):
            return "customer_id", why, "correct it, or leave it out"
        return None

    def _customer(self, customer_id: str) -> str:
        """Why the owner may not charge this customer, or ""."""
        why = self._known.get(customer_id)
        if why is None:
            why = self.ids.refuses_customer(customer_id, self.owner)
            why = why or _not_yours(self.ids.customers.get(customer_id), self.owner)
            if len(self._known) < MOST_REMEMBERED:
                self._known[customer_id] = why
        return why


def rules_of(source: Source, ids: IdRules) -> RowRules:
    """The rules of a file. Raises FileError for a folder that is no merchant's."""
    if source.merchant is None:
        return RowRules(_OF_A_FILE, ids)
    merchant = ids.merchants.named(source.merchant)
    if merchant is None or not merchant.subject:
        what_to_do = f"upload it below incoming/{MERCHANTS}<merchant>/, with the name of a merchant in MERCHANTS"
        raise FileError(CellError(1, "", "", "the file is in no merchant's folder", what_to_do))
    return RowRules(Caller(merchant.subject, frozenset({Role.MERCHANT})), ids)


def _not_yours(customer: Customer | None, owner: Caller) -> str:
    theirs = customer is not None and not customer.erased_at and not owns(owner, customer)
    return "you have no customer with this customer_id" if theirs else ""
