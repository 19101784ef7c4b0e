"""Stripe's objects as its API returns them: JSON in the shape of the pinned version, without unused fields."""

from typing import Any

from local.fake_stripe.cards import Card
from local.fake_stripe.parameters import automatic_payment_methods, payment_method_types

Json = dict[str, Any]

AUTHENTICATION_PATH = "/3d_secure"
CLIENT_SECRET = "payment_intent_client_secret"  # noqa: S105 - the name of a parameter
SETUP_CLIENT_SECRET = "setup_intent_client_secret"  # noqa: S105 - the name of a parameter


def metadata_of(params: Json) -> dict[str, str]:
    """The metadata of a new object. An empty value is no value."""
    return {key: value for key, value in (params.get("metadata") or {}).items() if value}


def merged_metadata(changed: Json, params: Json) -> dict[str, str]:
    """The metadata after an update: new values are added, an empty value removes its key, "" removes all."""
    given = params.get("metadata", {})
    return metadata_of({"metadata": changed["metadata"] | given}) if isinstance(given, dict) else {}


def payment_intent(params: Json, *, intent_id: str, secret: str, amount: int, created: int) -> Json:
    """A new payment intent, still without its customer and its payment method. `created` is in Unix seconds."""
    return {
        "id": intent_id,
        "object": "payment_intent",
        "amount": amount,
        "amount_capturable": 0,
        "amount_received": 0,
        "automatic_payment_methods": automatic_payment_methods(params),
        "canceled_at": None,
        "cancellation_reason": None,
        "capture_method": params.get("capture_method", "automatic_async"),
        "client_secret": f"{intent_id}_secret_{secret}",
        "confirmation_method": "automatic",
        "created": created,
        "currency": params["currency"],
        "customer": None,
        "description": params.get("description"),
        "last_payment_error": None,
        "latest_charge": None,
        "livemode": False,
        "metadata": metadata_of(params),
        "next_action": None,
        "payment_method": None,
        "payment_method_types": payment_method_types(params),
        "receipt_email": params.get("receipt_email"),
        "setup_future_usage": params.get("setup_future_usage"),
        "status": "requires_payment_method",
    }


def setup_intent(params: Json, *, setup_id: str, secret: str, created: int) -> Json:
    """A new setup intent, still without its customer and its payment method. `created` is in Unix seconds."""
    return {
        "id": setup_id,
        "object": "setup_intent",
        "automatic_payment_methods": automatic_payment_methods(params),
        "cancellation_reason": None,
        "client_secret": f"{setup_id}_secret_{secret}",
        "created": created,
        "customer": None,
        "description": params.get("description"),
        "last_setup_error": None,
        "latest_attempt": None,
        "livemode": False,
        "mandate": None,
        "metadata": metadata_of(params),
        "next_action": None,
        "payment_method": None,
        "payment_method_types": payment_method_types(params),
        "status": "requires_payment_method",
        "usage": params.get("usage", "off_session"),
    }


def authentication(intent: Json, base_url: str, return_url: str) -> Json:
    """The `next_action` of an intent that requires 3-D Secure: a redirect if it has a `return_url`, else Stripe.js."""
    secret = f"{intent['object']}_client_secret={intent['client_secret']}"
    url = f"{base_url}{AUTHENTICATION_PATH}?{secret}"
    if return_url:
        return {"type": "redirect_to_url", "redirect_to_url": {"return_url": return_url, "url": url}}
    # its content is only for Stripe.js
    return {"type": "use_stripe_sdk", "use_stripe_sdk": {"type": "three_d_secure_redirect", "stripe_js": url}}


def charge(intent: Json, card: Card, *, charge_id: str, created: int) -> Json:
    """The charge of one attempt to pay `intent` with `card`: captured, only authorized, or failed."""
    captured = not card.code and intent["capture_method"] != "manual"
    return {
        "id": charge_id,
        "object": "charge",
        "amount": intent["amount"],
        "amount_captured": intent["amount"] if captured else 0,
        "amount_refunded": 0,
        "balance_transaction": None,
        "captured": captured,
        "created": created,
        "currency": intent["currency"],
        "customer": intent["customer"],
        "description": intent["description"],
        "disputed": False,
        "failure_code": card.code or None,
        "failure_message": card.message or None,
        "livemode": False,
        "metadata": intent["metadata"],
        "outcome": _outcome(card),
        "paid": not card.code,
        "payment_intent": intent["id"],
        "payment_method": intent["payment_method"],
        "payment_method_details": {"type": "card", "card": {"brand": card.brand, "last4": card.last4}},
        "refunded": False,
        "status": "failed" if card.code else "succeeded",
    }


def _outcome(card: Card) -> Json:
    """Why the charge was accepted or declined (docs.stripe.com/api/charges/object, outcome)."""
    if not card.code:
        return {"network_status": "approved_by_network", "reason": None, "type": "authorized"}
    reason = card.decline_code or card.code
    return {"network_status": "declined_by_network", "reason": reason, "type": "issuer_declined"}


def unsettle(charge: Json) -> None:
    """Turn a successful charge into a pending one: nothing is captured until the bank pays."""
    charge.update(status="pending", paid=False, captured=False, amount_captured=0)


def settle(charge: Json, *, captured: bool) -> None:
    """The bank paid a pending charge. The money is captured at once, or only authorized."""
    charge.update(status="succeeded", paid=True, captured=captured, amount_captured=charge["amount"] if captured else 0)


def fail(charge: Json, card: Card) -> None:
    """The bank rejected a pending charge, with the decline reason of `card`."""
    charge.update(status="failed", failure_code=card.code, failure_message=card.message, outcome=_outcome(card))


def refund(params: Json, charge: Json, *, refund_id: str, amount: int, created: int) -> Json:
    """A refund of `amount` minor units. It succeeds at once."""
    return {
        "id": refund_id,
        "object": "refund",
        "amount": amount,
        "charge": charge["id"],
        "created": created,
        "currency": charge["currency"],
        "metadata": metadata_of(params),
        "payment_intent": charge["payment_intent"],
        "reason": params.get("reason"),
        "status": "succeeded",
    }


def payment_error(card: Card, method: Json, *, charge_id: str = "") -> Json:
    """The decline reason of `card`: the last error of an intent, and the error in the answer."""
    problem = {
        "charge": charge_id,
        "code": card.code,
        "decline_code": card.decline_code,
        "message": card.message,
        "payment_method": dict(method),
        "type": "card_error",
    }
    return {name: value for name, value in problem.items() if value}


def authentication_error(intent: Json, method: Json) -> Json:
    """The last error of an intent whose customer failed 3-D Secure."""
    return {
        "code": f"{intent['object']}_authentication_failure",
        "message": "The provided PaymentMethod has failed authentication.",
        "payment_method": dict(method),
        "type": "invalid_request_error",
    }


def balance(captured: list[Json]) -> Json:
    """The balance by currency: captured and not refunded amounts, without fees."""
    totals: dict[str, int] = {}
    for item in captured:
        totals[item["currency"]] = totals.get(item["currency"], 0) + item["amount"] - item["amount_refunded"]
    pending = [{"amount": amount, "currency": currency} for currency, amount in sorted(totals.items())]
    return {"object": "balance", "available": [], "pending": pending, "livemode": False}
