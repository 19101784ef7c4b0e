"""The older contract of existing clients: the same customers and payments under other names."""

import hashlib
import re
from collections.abc import Mapping
from typing import Any

from payments.domain.customer import CustomerRequest, parse_customer
from payments.domain.ownership import owns
from payments.domain.payment import FieldError, InvalidRequest, Payment, PaymentRequest, parse_request
from payments.rest import customers, listing
from payments.rest.http import Problem, answer, has_header, header
from payments.rest.owners import require_own_customer
from payments.rest.payments import not_yours, require_payable_customer, submit
from payments.rest.request import Request
from payments.rest.services import Services

FIELDS = ("customer_id", "email", "amount", "currency")
_FIELD_NAME = re.compile(r"[a-z_]{1,40}", re.ASCII)
_KEY = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)
_MASKED = "****"
"""A payment method in a list: to show more of it would cost a request to KMS for each row."""


def create_customer_v1(request: Request, services: Services) -> dict[str, Any]:
    """POST /v1/api/customer."""
    return customers.create_customer(request, services)


def get_customer_v1(request: Request, services: Services) -> dict[str, Any]:
    """GET /v1/api/customer/{customer_id}."""
    return customers.get_customer(request, services)


def create_payment_v1(request: Request, services: Services) -> dict[str, Any]:
    """POST /v1/api/payment: creates the payment_id, and the customer if it does not exist."""
    customer, payment = _asked(request.json(), _payment_id(request, services))
    known = require_payable_customer(request, services, payment)
    if known is not None and known.erased_at and not owns(request.caller, known):
        raise not_yours(request, services, known.customer_id)  # as for a customer of another caller
    if known is None or known.erased_at:
        customers.register(request, services, customer)
    elif known.email_hash != services.email_hasher.hash_of(customer.email):
        raise Problem(409, "conflict", "the customer has another e-mail address; nothing was stored. Change it first.")
    return submit(request, services, payment, known)


def list_customer_payments_v1(request: Request, services: Services) -> dict[str, Any]:
    """GET /v1/api/payment/{customer_id}: a customer's disbursements, newest first."""
    customer = require_own_customer(request, services, request.path["customer_id"])
    page = listing.customer_page(request, services, customer)
    private = services.encryptor.open(customer.context, customer.private)
    view: dict[str, Any] = {"disbursements": [_disbursement(payment, private["email"]) for payment in page.payments]}
    return answer(200, view | ({"next_cursor": page.next_cursor} if page.next_cursor else {}))


def _asked(body: Mapping[str, Any], payment_id: str) -> tuple[CustomerRequest, PaymentRequest]:
    """Both parts of a request. Raises Problem 400 with the invalid fields of both."""
    errors = [
        FieldError(name, f"{name} is missing; required: {', '.join(FIELDS)}") for name in FIELDS if name not in body
    ]
    errors += [
        FieldError(
            name if _FIELD_NAME.fullmatch(name) else "field",
            f"unknown field; allowed: {', '.join(FIELDS)}",
        )
        for name in body
        if name not in FIELDS
    ]
    parts: list[Any] = []
    of_customer = {name: body[name] for name in FIELDS[:2] if name in body}
    of_payment = {name: body[name] for name in FIELDS if name in body and name != "email"} | {"payment_id": payment_id}
    for parse, part in ((parse_customer, of_customer), (parse_request, of_payment)):
        try:
            parts.append(parse(part))
        except InvalidRequest as refused:
            known = {error.field for error in errors}
            errors += [error for error in refused.errors if error.field not in known]
    if errors:
        detail = "some fields are invalid, nothing was stored; correct them and send the payment again"
        raise Problem(400, "invalid-request", detail, errors)
    customer, payment = parts
    return customer, payment


def _payment_id(request: Request, services: Services) -> str:
    """A new id. With an Idempotency-Key, always the same id for this caller and key."""
    key = header(request.event, "Idempotency-Key")
    if not has_header(request.event, "Idempotency-Key"):
        return f"v1_{services.new_id()}"
    if not _KEY.fullmatch(key):
        error = FieldError("Idempotency-Key", "allowed: 1 to 64 letters, digits, '_' or '-'")
        raise Problem(400, "invalid-request", "the header is invalid, nothing was stored", [error])
    # 40 hex digits are recognized as a hash; another length would look like a card number once in hundreds
    return f"v1_{hashlib.sha256(f'{request.caller.subject} {key}'.encode()).hexdigest()[:40]}"


def _disbursement(payment: Payment, email: str) -> dict[str, Any]:
    return {
        "payment_id": payment.payment_id,
        "date": payment.created_at,
        "amount": payment.money.decimal,
        "currency": payment.money.currency,
        "payment_method": _MASKED if payment.payment_method else "",
        "email": email,
        "status": payment.status.value,
    }
