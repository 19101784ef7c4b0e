"""Whose a customer is: the one rule for customers, their tokens and the list of their payments."""

from payments.domain.customer import Customer
from payments.domain.identity import Caller, Role
from payments.domain.payment import CUSTOMER_ID
from payments.rest.denied_access import record_denied
from payments.rest.http import Problem
from payments.rest.request import Request
from payments.rest.services import Services


def owns(caller: Caller, customer: Customer) -> bool:
    """True if the caller may see and change the customer: staff any, a person their own, a merchant whom it created.

    Rows of before there were owners, and what remains of an erased customer, are for staff alone.
    """
    if caller.sees_all:
        return True
    owners = {Role.CUSTOMER: customer.subject, Role.MERCHANT: customer.created_by}
    # an owner that is not there is nobody's, whatever a token says
    return any(owner and owner == caller.subject and caller.has(role) for role, owner in owners.items())


def find_customer(services: Services, customer_id: str) -> Customer | None:
    """Anybody's customer, an erased one as well. What cannot be an id is not looked up."""
    return services.customers.get(customer_id) if CUSTOMER_ID.fullmatch(customer_id) else None


def require_own_customer(request: Request, services: Services, customer_id: str) -> Customer:
    """The caller's customer. Raises Problem 404, in the same words whether it is unknown, erased or somebody else's."""
    customer = find_customer(services, customer_id)
    if customer is not None and not customer.erased_at:
        if owns(request.caller, customer):
            return customer
        record_denied(services.access_log, request, "customer", customer_id)
    raise Problem(404, "not-found", "no customer has this customer_id; check it, or create it with POST /customers")
