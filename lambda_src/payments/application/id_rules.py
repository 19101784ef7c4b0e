"""Which ids a caller may give to new payments and customers, over REST and in files.

An id that exists keeps working for its owner, also without the prefix. For every other caller a reserved id gets the
same answer after the same reads, whether it exists or not.
"""

from dataclasses import dataclass

from payments.domain.identity import Caller, Role
from payments.domain.merchants import LEGACY, OWN, Merchants
from payments.domain.ownership import owns, submitted
from payments.domain.refund import MADE_AT_THE_GATEWAY
from payments.domain.retry import former_id_of
from payments.ports.customer_store import CustomerStore
from payments.ports.payment_store import PaymentStore


@dataclass(frozen=True)
class IdRules:
    """The methods return why an id is refused, or "". They read nothing for an id that is not reserved."""

    merchants: Merchants
    payments: PaymentStore
    customers: CustomerStore

    def refuses_payment(self, payment_id: str, caller: Caller) -> str:
        """For the id of a payment that a request or a row submits."""
        why = self._reserved(payment_id, caller, LEGACY)
        if not why:
            return ""
        # a retry of the caller's payment has an id that follows from that one
        ids = (payment_id, former_id_of(payment_id))
        known = [payment for known_id in ids if known_id and (payment := self.payments.get(known_id))]
        return "" if any(caller.sees_all or submitted(caller, payment) for payment in known) else why

    def is_retry_of_another(self, payment_id: str, caller: Caller) -> bool:
        """Whether the id is that of the retry of another caller's payment, which would then have no retry."""
        former_id = former_id_of(payment_id)
        former = self.payments.get(former_id) if former_id and not caller.sees_all else None
        return former is not None and bool(former.submitted_by) and not submitted(caller, former)

    def refuses_refund(self, refund_id: str, caller: Caller) -> str:
        """For the id of a refund that a request makes. Ids that the gateway gives to its own refunds are reserved."""
        if made := next((name for name in MADE_AT_THE_GATEWAY if refund_id.lower().startswith(name)), ""):
            return f"ids that begin with {made} are those of refunds that were made at the gateway"
        return "" if caller.has(Role.ADMIN) else self.merchants.reserves(refund_id, caller.subject)

    def refuses_customer(self, customer_id: str, caller: Caller) -> str:
        """For the id of a customer that a payment names. An admin may name everybody's."""
        why = "" if caller.has(Role.ADMIN) else self._reserved(customer_id, caller, OWN)
        return "" if not why or self._is_own(customer_id, caller) else why

    def refuses_new_customer(self, customer_id: str, caller: Caller) -> str:
        """For the id of a customer that a request creates."""
        why = self._reserved(customer_id, caller, OWN)
        return "" if not why or self._is_own(customer_id, caller) else why

    def _reserved(self, text: str, caller: Caller, by_the_service: str) -> str:
        if text.lower().startswith(by_the_service):
            return f"ids that begin with {by_the_service} are made by this service"
        return "" if caller.has(Role.ADMIN) else self.merchants.reserves(text, caller.subject)

    def _is_own(self, customer_id: str, caller: Caller) -> bool:
        existing = self.customers.get(customer_id)
        return existing is not None and not existing.erased_at and owns(caller, existing)
