"""What Schemathesis cannot know of this API: how Stripe signs, who names customers, and how clients write amounts."""

import hashlib
import hmac
import os
import time
import uuid
from typing import Any

import requests
import schemathesis
from schemathesis import GenerationMode

from lib.settings import ENVIRONMENTS
from payments.domain.currencies import EXPONENTS
from payments.domain.identity import Role

SEARCHABLE = ENVIRONMENTS["local"].searchable_metadata
"""The key of the metadata that may be searched on the local stack."""
CUSTOMERS = ("/customers", "/customers/{customer_id}", "/v1/api/customer")
"""The paths whose bodies describe a customer."""


class Signed(requests.auth.AuthBase):
    """Signs a request as Stripe signs its events (docs.stripe.com/webhooks, "Verify webhook signatures manually")."""

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        body = request.body or b""
        at = int(time.time())
        payload = f"{at}.".encode() + (body.encode() if isinstance(body, str) else body)
        signature = hmac.new(os.environ["WEBHOOK_SECRET"].encode(), payload, hashlib.sha256).hexdigest()
        request.headers["Stripe-Signature"] = f"t={at},v1={signature}"
        return request


def _ask_as_a_client(query: dict[str, Any], *, of_customer: bool) -> None:
    """Combine the parameters of a list as its description allows."""
    query.pop("cursor", None)  # a client never invents one: it comes with the previous page
    if "metadata" in query:
        query["metadata"] = f"{SEARCHABLE}:A-17"
    if "amount" in query:
        query["amount"] = "19.99"  # twelve digits and four more may be a card number
    if query.get("currency") not in {None, *EXPONENTS}:
        query["currency"] = "EUR"
    narrow = {"day", "customer_id", "batch_id", "metadata", "gateway_reference"}
    if {"currency", "amount"} & query.keys() and not (of_customer or narrow & query.keys()):
        query["day"] = "2026-11-21"
    times = {"batch_id": ("day", "from", "to"), "day": ("from", "to")}
    for given in times.keys() & query.keys():
        for name in times[given]:
            query.pop(name, None)


def _name_customer(method: str, body: dict[str, Any]) -> None:
    """A merchant or an admin names a new customer and its address; a person names neither, and keeps the address."""
    if os.environ["ROLE"] == Role.CUSTOMER:
        for name in ("customer_id", "email", "subject"):
            body.pop(name, None)
        body.update({} if body else {"name": "Jo"})
        return
    if method == "PATCH":
        return
    body.setdefault("customer_id", f"cus_{uuid.uuid4().hex[:12]}")
    body.setdefault("email", "jo@example.com")


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: dict[str, Any]) -> None:
    """Sign good events; write numbers with the digits that a client would write."""
    if case.meta is None or case.meta.generation.mode is not GenerationMode.POSITIVE:
        return
    if case.path == "/webhooks/stripe":
        kwargs["auth"] = Signed()
    if case.path in CUSTOMERS and isinstance(case.body, dict):
        _name_customer(case.method, case.body)
    if case.query:
        _ask_as_a_client(case.query, of_customer="customer_id" in (case.path_parameters or {}))
    if isinstance(case.body, dict):
        case.body.pop("client_ip", None)  # only merchants may give it, and only public addresses
    if case.path == "/payments/{payment_id}/refunds" and isinstance(case.body, dict) and "amount" in case.body:
        # the contract cannot say how many decimals the currency of the payment has
        case.body["amount"] = "1"
    if isinstance(case.body, dict) and isinstance(case.body.get("amount"), float):
        # as floats, 0.5700000000000001 (57 * 0.01) is a multiple of 0.01, and 10.0 has no digits; as money they are not
        amount = round(case.body["amount"], 4)
        case.body["amount"] = int(amount) if amount.is_integer() else amount
