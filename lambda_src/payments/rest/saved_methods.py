"""Saved payment methods over REST: set one up, list them, detach one. The gateway keeps the cards."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from payments.domain.customer import Customer, changed, linked
from payments.domain.payment import PAYMENT_METHOD
from payments.ports.payment_store import VersionConflict
from payments.ports.saved_methods import SavedMethod
from payments.rest.customers import TRIES, overtaken
from payments.rest.gateway import at_gateway
from payments.rest.http import Problem, answer, no_content
from payments.rest.owners import require_own_customer
from payments.rest.request import Request
from payments.rest.services import Services

_DEFAULT = "default_payment_method"


def create_setup(request: Request, services: Services) -> dict[str, Any]:
    """POST /customers/{customer_id}/setup: 201 with the secret with which Stripe.js saves a card, for its owner alone.

    Raises Problem 404 if the caller has no such customer, and 503 if the gateway does not answer.
    """
    customer = require_own_customer(request, services, request.path["customer_id"])
    services.limiter.check_customer(customer.customer_id, request.at)
    gateway_customer = customer.gateway_customer or _link(request, services, customer)
    setup = at_gateway(lambda: services.saved_methods.start_setup(gateway_customer, customer.customer_id))
    return answer(201, {**asdict(setup), "links": {"payment_methods": _link_to(customer)}})


def list_payment_methods(request: Request, services: Services) -> dict[str, Any]:
    """GET /customers/{customer_id}/payment-methods: 200 with the customer's newest 100 cards.

    Raises Problem 404 if the caller has no such customer, and 503 if the gateway does not answer.
    """
    customer = require_own_customer(request, services, request.path["customer_id"])
    default = _default_of(customer, services)
    methods = [
        {
            "id": method.method_id,
            "brand": method.brand,
            "last4": method.last4,
            "exp_month": method.exp_month,
            "exp_year": method.exp_year,
            "default": method.method_id == default,
        }
        for method in _saved(customer, services)
    ]
    return answer(200, {"payment_methods": methods, "links": {"self": _link_to(customer)}})


def delete_payment_method(request: Request, services: Services) -> dict[str, Any]:
    """DELETE /customers/{customer_id}/payment-methods/{method_id}: 204. It can never be charged or saved again.

    Raises Problem 404 with the same text if it is unknown or another customer's, 409 if other callers change the
    customer at the same time, and 503 if the gateway does not answer.
    """
    customer = require_own_customer(request, services, request.path["customer_id"])
    method_id = request.path["method_id"]
    known = PAYMENT_METHOD.fullmatch(method_id) and _saved(customer, services)
    if not known or method_id not in [method.method_id for method in known]:
        raise Problem(404, "not-found", "the customer has no such payment method; list them to see those it has")
    # first ours: if the gateway does not answer then, a repeated call finds the payment method and goes on
    _remove_default(request, services, customer, method_id)
    at_gateway(lambda: services.saved_methods.detach(method_id))
    return no_content()


def _link(request: Request, services: Services, customer: Customer) -> str:
    """Create the gateway's customer, and store its id once: of several callers, the first stores the id of all."""
    made = at_gateway(lambda: services.saved_methods.create_customer(customer.customer_id))
    for _ in range(TRIES):
        try:
            services.customers.save(linked(customer, made))
        except VersionConflict:
            try:
                customer = require_own_customer(request, services, customer.customer_id)
            except Problem:  # erased meanwhile, before the gateway's customer was known to the erasure
                at_gateway(lambda: services.saved_methods.delete_customer(made))
                raise
            if customer.gateway_customer:
                return customer.gateway_customer
        else:
            return made
    raise overtaken()


def _saved(customer: Customer, services: Services) -> Sequence[SavedMethod]:
    if not customer.gateway_customer:
        return []
    return at_gateway(lambda: services.saved_methods.of(customer.gateway_customer))


def _default_of(customer: Customer, services: Services) -> str:
    """The customer's default payment method in plain text, or ""."""
    stored = customer.default_payment_method
    return services.encryptor.open(customer.context, {_DEFAULT: stored})[_DEFAULT] if stored else ""


def _remove_default(request: Request, services: Services, customer: Customer, method_id: str) -> None:
    """Remove the default if it is this payment method. Without a default, the removal is stored too: a late event about
    its setup must not make a detached payment method the default."""
    for _ in range(TRIES):
        if _default_of(customer, services) not in ("", method_id):
            return
        try:
            services.customers.save(changed(customer, {_DEFAULT: ""}, at=request.at))
        except VersionConflict:
            customer = require_own_customer(request, services, customer.customer_id)
        else:
            return
    raise overtaken()


def _link_to(customer: Customer) -> str:
    return f"/customers/{customer.customer_id}/payment-methods"
