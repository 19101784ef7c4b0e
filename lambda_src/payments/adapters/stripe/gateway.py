"""The payment gateway port on Stripe's Payment Intents, with the official SDK. Only this module imports the SDK."""

import logging
import re
from collections.abc import Callable, Mapping
from typing import Any

import requests
import stripe
import urllib3.exceptions

from payments.adapters.stripe.amounts import LIMIT_CODES, limit, money_of, stripe_amount
from payments.adapters.stripe.rules import check_chargeable
from payments.domain.errors import (
    Conflict,
    Declined,
    InvalidPayment,
    Misconfigured,
    NotSent,
    OutcomeUnknown,
    PaymentError,
    RateLimited,
    RequiresAction,
)
from payments.domain.money import InvalidMoney
from payments.domain.statuses import Status
from payments.ports.payment_gateway import ChargeRequest, GatewayCharge

API_VERSION = "2026-10-28.endive"
"""Pinned, so that neither an SDK upgrade nor the account's default version changes the meaning of answers."""

CONNECT_TIMEOUT_SECONDS = 3.0
READ_TIMEOUT_SECONDS = 20.0
"""An issuer may take seconds. A function that uses this adapter needs a time-out longer than the sum of both."""

logging.getLogger("stripe").setLevel(logging.WARNING)  # at INFO the SDK logs error texts, which name payment methods


class StripeGateway:
    """PaymentGateway on Stripe. It never retries: the workflow retries, where the retries are visible."""

    name = "stripe"

    def __init__(
        self,
        api_key: Callable[[], str],
        *,
        base_url: str = stripe.DEFAULT_API_BASE,
        connect_timeout_seconds: float = CONNECT_TIMEOUT_SECONDS,
        read_timeout_seconds: float = READ_TIMEOUT_SECONDS,
    ) -> None:
        """`api_key` returns the secret key. It is called before every request, so a rotated key works at once."""
        self._api_key = api_key
        self._intents = stripe.StripeClient(
            api_key="",  # every call passes its own
            base_addresses={"api": base_url},
            stripe_version=API_VERSION,
            max_network_retries=0,
            http_client=stripe.RequestsClient(timeout=(connect_timeout_seconds, read_timeout_seconds)),
        ).v1.payment_intents

    def charge(self, request: ChargeRequest) -> GatewayCharge:
        """Create and confirm a payment intent, with the payment id as idempotency key and in its metadata.

        Stripe keeps the key for 24 hours; a later repetition must call `find` first. Raises the errors of the port, and
        Conflict if Stripe has the payment id with other content.
        """
        check_chargeable(request)
        params = _intent_params(request)
        key = self._api_key()
        return _charge_of(
            _asked(
                lambda: self._intents.create(params, options={"api_key": key, "idempotency_key": request.payment_id}),
                lambda error: charge_error(error, request.money.currency),
            )
        )

    def find(self, payment_id: str, reference: str = "") -> GatewayCharge | None:
        """The intent of the reference, else the one with our payment id in its metadata; of several the captured one.

        Stripe's search is eventually consistent, usually within a minute (docs.stripe.com/search#data-freshness). None
        therefore proves that nothing was charged only some minutes after the attempt. Until then, charge again with the
        same idempotency key: Stripe returns the first result and does not charge twice.
        """
        key = self._api_key()
        if reference:
            known = _asked(
                lambda: self._intents.retrieve(reference, {"expand": ["latest_charge"]}, options={"api_key": key}),
                find_error,
            )
            return _charge_of(known)
        query = f'metadata["payment_id"]:"{payment_id}"'  # the id's plain alphabet needs no escaping
        found = _asked(
            lambda: self._intents.search(
                {"query": query, "limit": 100, "expand": ["data.latest_charge"]}, options={"api_key": key}
            ),
            find_error,
        )
        intents = sorted(found.data, key=_preference)
        return _charge_of(intents[0]) if intents else None

    def cancel(self, reference: str) -> None:
        """Cancel a payment intent. No effect on a captured or canceled one, which Stripe does not cancel."""
        key = self._api_key()

        def cancel() -> None:
            try:
                self._intents.cancel(reference, options={"api_key": key})
            except stripe.InvalidRequestError as refused:
                if _code(_body(refused)) != "payment_intent_unexpected_state":
                    raise

        _asked(cancel, find_error)


def _intent_params(request: ChargeRequest) -> Any:
    params: dict[str, Any] = {
        "amount": stripe_amount(request.money),
        "currency": request.money.currency.lower(),
        "payment_method": request.payment_method,
        "payment_method_types": ["card"],  # no method that redirects the customer to another site
        "confirm": True,
        "metadata": {**request.metadata, "payment_id": request.payment_id},
    }
    return params | ({"description": request.description} if request.description else {})


def _asked[T](call: Callable[[], T], as_payment_error: Callable[[stripe.StripeError], PaymentError]) -> T:
    try:
        return call()
    except stripe.StripeError as error:
        problem = as_payment_error(error)
    raise problem  # outside the except block: the traceback must not show Stripe's text, which names payment methods


# The meaning of Stripe's errors --------------------------------------------------------------------------------------


def charge_error(error: stripe.StripeError, currency: str = "") -> PaymentError:
    """The payment error that a Stripe error means for a charge. It contains only codes and our own sentences.

    `currency` is the payment's. With it, the error of an amount outside Stripe's limits names the limit.
    """
    code, reference = _code(_body(error)), _reference(_body(error))
    match error:
        case stripe.CardError():
            return _card_problem(code, reference)
        case stripe.RateLimitError():
            return RateLimited(
                code or "rate_limit",
                "Stripe asked us to slow down",
                retry_after_seconds=_retry_after_seconds(error),
            )
        case stripe.AuthenticationError() | stripe.PermissionError():
            return Misconfigured(code or "gateway_key_refused", "Stripe refuses our key or account")
        case stripe.IdempotencyError():
            return Conflict("idempotency_error", "Stripe has this payment id with other content")
        case stripe.InvalidRequestError():
            return _invalid_request(code, error.param or "", currency)
        case stripe.APIConnectionError() if _never_left(error):
            return NotSent("gateway_unreachable", "no connection to Stripe could be made")
        case stripe.APIConnectionError():
            return OutcomeUnknown("no_answer", "the request may have reached Stripe, but no answer arrived")
        case _ if code == "idempotency_key_in_use":
            # not RateLimited, which may end in `failed`: the request that holds the key may be charging now
            return OutcomeUnknown(code, "another request for this payment is still running at Stripe")
        case _:  # such as 500, which Stripe stores under the key whether or not the charge was made
            return OutcomeUnknown(code or "gateway_error", f"Stripe answered {error.http_status or 'unreadably'}")


def find_error(error: stripe.StripeError) -> PaymentError:
    """The payment error that a Stripe error means for a search. A rejected search is never caused by the payment."""
    if isinstance(error, stripe.InvalidRequestError):
        return Misconfigured(_code(_body(error)) or "search_refused", "Stripe refuses to search for payments")
    return charge_error(error)


_CODES_OF_OUR_ACCOUNT = (
    "account_",
    "api_key_",
    "capability_",
    "livemode_",
    "parameter_unknown",
    "platform_",
    "secret_key_",
    "testmode_",
)
_FIELDS_OF_A_PAYMENT = ("amount", "currency", "payment_method", "description", "metadata")


def _invalid_request(code: str, parameter: str, currency: str) -> PaymentError:
    """The meaning of a 400, which comes before any charge. It rejects this one payment, unless it concerns our account
    or our code: those would reject every other payment too."""
    if code in LIMIT_CODES:
        reason = limit(code, currency) if currency else "the amount is outside Stripe's limits"
        return InvalidPayment(code, f"{reason}; nothing was charged")
    field = parameter.partition("[")[0]
    if code.startswith(_CODES_OF_OUR_ACCOUNT) or (field and field not in _FIELDS_OF_A_PAYMENT):
        return Misconfigured(code or "request_refused", "Stripe rejects all our requests, not only this payment")
    if code == "resource_missing" and field == "payment_method":
        return Declined("invalid_payment_method", "Stripe does not know the payment method")
    return InvalidPayment(
        code or "request_refused", f"Stripe rejects the payment's {field or 'content'}; nothing was charged"
    )


def _card_problem(code: str, reference: str) -> PaymentError:
    if code == "authentication_required":
        return RequiresAction(code, "the customer must authenticate the payment", gateway_reference=reference)
    return Declined(code or "card_declined", "the card was declined", gateway_reference=reference)


def _never_left(error: stripe.APIConnectionError) -> bool:
    """True if no connection was made: it was refused, the host is unknown, or the connect had no answer."""
    cause = error.__cause__
    reason = getattr(cause.args[0], "reason", None) if cause and cause.args else None
    return isinstance(cause, requests.ConnectTimeout) or isinstance(reason, urllib3.exceptions.NewConnectionError)


def _retry_after_seconds(error: stripe.StripeError) -> int:
    value = str((error.headers or {}).get("Retry-After", ""))
    return int(value) if re.fullmatch("[0-9]{1,5}", value) else 0


# The meaning of Stripe's objects -------------------------------------------------------------------------------------


def _charge_of(intent: stripe.PaymentIntent) -> GatewayCharge:
    """The charge in a payment intent. Raises OutcomeUnknown for an unknown status, which proves nothing."""
    problem = intent.last_payment_error
    match intent.status:
        case "succeeded":
            return _gateway_charge(intent, _captured_status(intent), intent.amount_received)
        case "processing":
            return _gateway_charge(intent, Status.PROCESSING, intent.amount)
        case "requires_action":
            raise _card_problem("authentication_required", intent.id)
        case "requires_payment_method":
            raise _card_problem(_code(problem.to_dict()) if problem else "", intent.id)
        case "canceled":
            raise Declined("canceled", "the payment was canceled at Stripe", gateway_reference=intent.id)
        case other:
            raise OutcomeUnknown(
                "unknown_status",
                f"Stripe reports the status {_word(other) or 'unreadable'}",
                gateway_reference=intent.id,
            )


def _captured_status(intent: stripe.PaymentIntent) -> Status:
    """SUCCEEDED, or the status after refunds. Only the answer to `find` contains the charge with its refunds."""
    charge = intent.latest_charge
    refunded = charge.amount_refunded if isinstance(charge, stripe.Charge) else 0
    if not refunded:
        return Status.SUCCEEDED
    return Status.REFUNDED if refunded >= intent.amount_received else Status.PARTIALLY_REFUNDED


def _gateway_charge(intent: stripe.PaymentIntent, status: Status, amount: int) -> GatewayCharge:
    try:
        return GatewayCharge(intent.id, status, money_of(amount, intent.currency))
    except InvalidMoney:
        raise Conflict(
            "unreadable_amount",
            "Stripe reports an amount that we cannot have requested",
            gateway_reference=intent.id,
        ) from None


def _preference(intent: stripe.PaymentIntent) -> int:
    """The rank of an intent among several of one payment: captured money first, then money that may be captured."""
    order = ("succeeded", "processing", "", "requires_action", "requires_payment_method", "canceled")
    return order.index(intent.status if intent.status in order else "")


def _body(error: stripe.StripeError) -> Mapping[str, Any]:
    content = error.json_body.get("error") if isinstance(error.json_body, Mapping) else None
    return content if isinstance(content, Mapping) else {}


def _code(problem: Mapping[str, Any]) -> str:
    """The more precise of Stripe's two codes: `decline_code` (insufficient_funds) before `code` (card_declined)."""
    return _word(problem.get("decline_code")) or _word(problem.get("code"))


def _reference(problem: Mapping[str, Any]) -> str:
    intent = problem.get("payment_intent")
    return str(intent.get("id", "")) if isinstance(intent, Mapping) else ""


def _word(value: object) -> str:
    """A code that may be logged: one plain word, or ""."""
    return value if isinstance(value, str) and re.fullmatch("[a-z][a-z0-9_]{0,63}", value) else ""
