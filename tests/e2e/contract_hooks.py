"""What Schemathesis cannot know of this API: how Stripe signs, and how clients write amounts."""

import hashlib
import hmac
import os
import time
from typing import Any

import requests
import schemathesis
from schemathesis import GenerationMode


class Signed(requests.auth.AuthBase):
    """Signs a request as Stripe signs its events (docs.stripe.com/webhooks, "Verify webhook signatures manually")."""

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        body = request.body or b""
        at = int(time.time())
        payload = f"{at}.".encode() + (body.encode() if isinstance(body, str) else body)
        signature = hmac.new(os.environ["WEBHOOK_SECRET"].encode(), payload, hashlib.sha256).hexdigest()
        request.headers["Stripe-Signature"] = f"t={at},v1={signature}"
        return request


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: dict[str, Any]) -> None:
    """Sign good events; write numbers with the digits that a client would write."""
    if case.meta is None or case.meta.generation.mode is not GenerationMode.POSITIVE:
        return
    if case.path == "/webhooks/stripe":
        kwargs["auth"] = Signed()
    if case.query:
        case.query.pop("cursor", None)  # a client never invents one: it comes with the previous page
    if isinstance(case.body, dict) and isinstance(case.body.get("amount"), float):
        # as floats, 0.5700000000000001 (57 * 0.01) is a multiple of 0.01, and 10.0 has no digits; as money they are not
        amount = round(case.body["amount"], 4)
        case.body["amount"] = int(amount) if amount.is_integer() else amount
