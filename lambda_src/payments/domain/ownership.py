"""Who owns a customer and a payment: one rule for REST and for the files of merchants."""

from payments.domain.customer import Customer, was_erased_for
from payments.domain.identity import Caller, Role
from payments.domain.payment import Payment


def owns(caller: Caller, customer: Customer) -> bool:
    """True if the caller may see and change the customer: staff any, a person their own, a merchant those it created.

    Rows written before owners existed are visible to staff only. An erased customer is visible to no caller; this then
    says who may know that it is erased.
    """
    if caller.sees_all:
        return True
    if customer.erased_at:
        return was_erased_for(customer, caller.subject)
    owners = {Role.CUSTOMER: customer.subject, Role.MERCHANT: customer.created_by}
    # an empty owner matches no caller, even one whose token has an empty subject
    return any(owner and owner == caller.subject and caller.has(role) for role, owner in owners.items())


def submitted(caller: Caller, payment: Payment) -> bool:
    """True if the caller submitted the payment."""
    return bool(caller.subject) and payment.submitted_by == caller.subject


def may_repeat(caller: Caller, payment: Payment) -> bool:
    """Whether the caller may learn that a payment is the one that it submits again: its submitter, and staff.

    A payment without a submitter is from a file of the admins, or from before submitters were stored: it is no
    merchant's.
    """
    return caller.sees_all or submitted(caller, payment)
