"""Which role may call which operation. A test compares this table with `x-roles` in api/openapi.yaml."""

from dataclasses import replace

from payments.domain.identity import READERS, STAFF, Caller, Role
from payments.rest.http import Problem

_EVERY_ROLE = frozenset(Role)
_READERS = _EVERY_ROLE
_KEEPERS = frozenset({Role.ADMIN, Role.MERCHANT, Role.CUSTOMER})
_MANAGERS = frozenset({Role.ADMIN})
_SUBMITTERS = frozenset({Role.ADMIN, Role.MERCHANT})

ALLOWED: dict[str, frozenset[Role]] = {
    "create_payment": _SUBMITTERS,
    "get_payment": _READERS,
    "list_audit_entries": STAFF,
    "cancel_payment": _KEEPERS,
    "retry_payment": _KEEPERS,
    "create_refund": _SUBMITTERS,
    "list_payment_refunds": STAFF | {Role.MERCHANT},
    "get_refund": STAFF | {Role.MERCHANT},
    "list_refunds": STAFF,
    "approve_refund": _MANAGERS,
    "reject_refund": _MANAGERS,
    "list_payments": STAFF,
    "pause_batch": _MANAGERS,
    "resume_batch": _MANAGERS,
    "cancel_batch": _MANAGERS,
    "create_customer": _KEEPERS,
    "find_customers": STAFF,
    "get_customer": _READERS,
    "update_customer": _KEEPERS,
    "delete_customer": _KEEPERS,
    "list_customer_payments": _READERS,
    "create_setup": _KEEPERS,
    "list_payment_methods": _READERS,
    "delete_payment_method": _KEEPERS,
    "create_token": _KEEPERS,
    "get_token": _READERS,
    "revoke_token": _KEEPERS,
    "create_customer_v1": _KEEPERS,
    "get_customer_v1": _READERS,
    "create_payment_v1": _SUBMITTERS,
    "list_customer_payments_v1": _READERS,
}
"""Operation → roles, any of which is sufficient. The operations decide whose data the caller sees."""


def require_role(caller: Caller, operation: str) -> Caller:
    """The caller as it counts for the operation. Raises Problem 403 if no role of the caller may call it.

    A role that only reads all data does not count where it may not call: a customer who is an operator too changes
    its own data only.
    """
    allowed = ALLOWED[operation]
    if allowed.isdisjoint(caller.roles):
        wanted = ", ".join(sorted(allowed))
        raise Problem(403, "forbidden", f"this needs one of the roles {wanted}; log in as a user who has one")
    return replace(caller, roles=caller.roles - (READERS - allowed))
