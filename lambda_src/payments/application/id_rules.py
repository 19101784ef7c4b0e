"""Which ids a caller may give to new payments and customers, over REST and in files.

An id that exists keeps working for its owner, also without the prefix. For every other caller a reserved id gets the
same answer after the same reads, whether it exists or not.
"""

from collections.abc import Callable
from dataclasses import dataclass

from payments.domain.identity import Caller, Role
from payments.domain.merchants import LEGACY, OWN, Merchants
from payments.domain.ownership import owns, submitted
from payments.domain.payment import Payment
from payments.domain.refund import MADE_AT_THE_GATEWAY
from payments.domain.retry import former_ids_of, is_shortened
from payments.ports.customer_store import CustomerStore
from payments.ports.payment_store import PaymentStore


@dataclass(frozen=True)
class IdRules:
    """The methods return why an id is refused, or "". They read nothing for an id that is not reserved."""

    merchants: Merchants
    payments: PaymentStore
    customers: CustomerStore
    former_of: Callable[[str], str] = lambda _: ""
    """That of the batch store."""

    def refuses_payment(self, payment_id: str, caller: Caller) -> str:
        """For the id of a payment that a request or a row submits."""
        why = self._reserved(payment_id, caller, LEGACY)
        if not why:
            return ""
        # a retry of the caller's payment has an id that follows from that one
        known = (self.payments.get(payment_id), self._former(payment_id))
        return "" if any(payment and (caller.sees_all or submitted(caller, payment)) for payment in known) else why

    def is_retry_of_another(self, payment_id: str, caller: Caller) -> bool:
        """Whether the id is that of a retry of another caller's payment, which would then have no retry.

        An id that is shortened does not tell the payment before it: it belongs to the submitter of the payment that a
        batch's report noted for it, or that already has it.
        """
        if caller.sees_all:
            return False
        former = self._former(payment_id)
        if former is not None:
            return not submitted(caller, former)
        if not is_shortened(payment_id):
            return False
        existing = self.payments.get(payment_id)
        return existing is None or not submitted(caller, existing)

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

    def _former(self, payment_id: str) -> Payment | None:
        """The nearest stored payment that the id would be a retry of, also if retries between them do not exist yet."""
        if is_shortened(payment_id) and (noted := self.former_of(payment_id)):
            return self.payments.get(noted)
        return next(filter(None, map(self.payments.get, former_ids_of(payment_id))), None)

    def _reserved(self, text: str, caller: Caller, by_the_service: str) -> str:
        if text.lower().startswith(by_the_service):
            return f"ids that begin with {by_the_service} are made by this service"
        return "" if caller.has(Role.ADMIN) else self.merchants.reserves(text, caller.subject)

    def _is_own(self, customer_id: str, caller: Caller) -> bool:
        existing = self.customers.get(customer_id)
        return existing is not None and not existing.erased_at and owns(caller, existing)
