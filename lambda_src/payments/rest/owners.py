"""The customer of a request: for customers, their tokens and the list of their payments."""

from payments.domain.customer import Customer
from payments.domain.ownership import owns
from payments.domain.payment import CUSTOMER_ID
from payments.rest.denied_access import record_denied
from payments.rest.http import Problem
from payments.rest.request import Request
from payments.rest.services import Services


def find_customer(services: Services, customer_id: str) -> Customer | None:
    """The customer with this id, of any owner, including an erased one. An invalid id is not looked up."""
    return services.customers.get(customer_id) if CUSTOMER_ID.fullmatch(customer_id) else None


def require_own_customer(
    request: Request, services: Services, customer_id: str, *, or_erased: bool = False
) -> Customer:
    """The caller's customer. Raises Problem 404 with the same text if it is unknown, erased or another caller's.

    With `or_erased`, also the row of an erased customer, for the caller who owned it.
    """
    customer = find_customer(services, customer_id)
    if customer is not None and (or_erased or not customer.erased_at):
        if owns(request.caller, customer):
            return customer
        record_denied(services.access_log, request, "customer", customer_id)
    elif CUSTOMER_ID.fullmatch(customer_id):
        services.limiter.count_missing(request)
    raise Problem(404, "not-found", "no customer has this customer_id; check it, or create it with POST /customers")
