"""The payment gateway port on Stripe's Payment Intents, with the official SDK. `errors.py` has the errors."""

import logging
import math
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import stripe

from payments.adapters.stripe.amounts import money_of, stripe_amount
from payments.adapters.stripe.client import payment_intents
from payments.adapters.stripe.errors import Call, code_of, payment_error, word
from payments.adapters.stripe.rules import check_chargeable
from payments.domain.errors import (
    SEVERAL_CHARGES,
    UNKNOWN_STATUS,
    AttemptDeclined,
    Conflict,
    Declined,
    OutcomeUnknown,
    RequiresAction,
)
from payments.domain.money import InvalidMoney, Money
from payments.domain.payment import ENVIRONMENT, PAYMENT_ID
from payments.domain.statuses import Status
from payments.ports.payment_gateway import ChargeRequest, GatewayCharge, Listed, ListedCharge

CONNECT_TIMEOUT_SECONDS = 3.0
READ_TIMEOUT_SECONDS = 20.0
"""An issuer may take seconds. A function that uses this adapter needs a time-out longer than the sum of both."""

_AUTHENTICATE = "authentication_required"

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
        self._intents = payment_intents(base_url, connect_timeout_seconds, read_timeout_seconds)

    def charge(self, request: ChargeRequest) -> GatewayCharge:
        """Create and confirm a payment intent, with our ids in its idempotency key and its metadata.

        Stripe keeps the key for 24 hours: later, the request must not be repeated. Raises the errors of the port, and
        Conflict if Stripe has the payment id with other content.
        """
        check_chargeable(request)
        params = _intent_params(request)
        key = self._api_key()
        return _charge_of(
            _asked(
                lambda: self._intents.create(params, options={"api_key": key, "idempotency_key": request.key}),
                Call.CHARGE,
                request.money.currency,
            )
        )

    def find(self, payment_id: str, reference: str = "", *, environment_id: str = "") -> GatewayCharge | None:
        """The intent of the reference, else the one with our ids in its metadata; of several the captured one.

        The search ignores case, and `order-7` is another payment than `ORDER-7`: the metadata must match exactly.

        Stripe's search lags by a minute, and by up to an hour in outages (docs.stripe.com/search#data-freshness). None
        therefore proves nothing. Only a repetition with the same idempotency key is safe then, while Stripe keeps it.
        """
        key = self._api_key()
        if reference:
            known = _asked(
                lambda: self._intents.retrieve(reference, {"expand": ["latest_charge"]}, options={"api_key": key}),
                Call.RETRIEVE,
            )
            return _charge_of(known)
        own = self._searched(payment_id, environment_id, key)
        holding = [intent for intent in own if _holds_money(intent)]
        if len(holding) > 1:
            raise Conflict(
                SEVERAL_CHARGES,
                f"Stripe captured {len(holding)} charges under this payment id; refund all but one",
                gateway_reference=holding[-1].id,
            )
        return _charge_of(min(own, key=lambda intent: (intent not in holding, _preference(intent)))) if own else None

    def charges_of(self, payment_id: str, *, environment_id: str = "") -> tuple[ListedCharge, ...]:
        """The intents that the search shows, with exactly our ids in their metadata."""
        return tuple(map(_listed_charge, self._searched(payment_id, environment_id, self._api_key())))

    def _searched(self, payment_id: str, environment_id: str, key: str) -> list[stripe.PaymentIntent]:
        query = " AND ".join(  # the plain alphabet of the ids needs no escaping
            f'metadata["{name}"]:"{value}"' for name, value in _our_ids(payment_id, environment_id).items()
        )
        found = _asked(
            lambda: self._intents.search(
                {"query": query, "limit": 100, "expand": ["data.latest_charge"]}, options={"api_key": key}
            ),
            Call.SEARCH,
        )
        return [intent for intent in found.data if _is_of(payment_id, environment_id, intent)]

    def listed(self, since: datetime, until: datetime, after: str = "") -> Listed:
        """A page of 100 of Stripe's list, which has no delay (docs.stripe.com/search#data-freshness).

        It filters by the time of creation in whole seconds, not by metadata (docs.stripe.com/api/payment_intents/list).
        """
        created = {"gte": math.floor(since.timestamp()), "lte": math.ceil(until.timestamp())}
        params: Any = {"created": created, "limit": 100} | ({"starting_after": after} if after else {})
        key = self._api_key()
        page = _asked(lambda: self._intents.list(params, options={"api_key": key}), Call.LIST)
        return Listed(
            tuple(_listed_charge(intent) for intent in page.data if _our_id(intent, "payment_id")),
            oldest_at=_created_at(page.data[-1]) if page.data else None,
            next_page=page.data[-1].id if page.has_more else "",
        )

    def ids_of(self, reference: str) -> tuple[str, str]:
        """Our ids in an intent's metadata; ("", "") for an intent of another system."""
        key = self._api_key()
        intent = _asked(lambda: self._intents.retrieve(reference, options={"api_key": key}), Call.RETRIEVE)
        payment_id = _our_id(intent, "payment_id")
        return (payment_id, _our_id(intent, ENVIRONMENT)) if PAYMENT_ID.fullmatch(payment_id) else ("", "")

    def cancel(self, reference: str) -> bool:
        """Cancel a payment intent. False for a captured or canceled one, which Stripe does not cancel."""
        key = self._api_key()
        try:
            intent = _asked(lambda: self._intents.cancel(reference, options={"api_key": key}), Call.CANCEL)
        except OutcomeUnknown as refused:
            if refused.code != "payment_intent_unexpected_state":
                raise
            return False
        return intent.status == "canceled"

    def check_account(self) -> None:
        """List the newest payment intent.

        A search would be refused in India. The balance would need a permission that a restricted key for charges does
        not have; to list payment intents, the permission to create them is enough (docs.stripe.com/keys).
        """
        key = self._api_key()
        _asked(lambda: self._intents.list({"limit": 1}, options={"api_key": key}), Call.LIST)


def _intent_params(request: ChargeRequest) -> Any:
    params: dict[str, Any] = {
        "amount": stripe_amount(request.money),
        "currency": request.money.currency.lower(),
        "payment_method": request.payment_method,
        "payment_method_types": ["card"],  # no method that redirects the customer to another site, but for 3-D Secure
        "confirm": True,
        "metadata": {**request.metadata, **_our_ids(request.payment_id, request.environment_id)},
    }
    optional = {
        "description": request.description,
        "customer": request.customer,
        "off_session": request.off_session,
        "return_url": request.return_url,
    }
    return params | {name: value for name, value in optional.items() if value}


def _our_ids(payment_id: str, environment_id: str) -> dict[str, str]:
    """The metadata that an intent of ours carries. `payments.domain.payment` reserves the keys."""
    ids = {"payment_id": payment_id, ENVIRONMENT: environment_id}
    return {name: value for name, value in ids.items() if value}


def _asked[T](request: Callable[[], T], call: Call, currency: str = "") -> T:
    try:
        return request()
    except stripe.StripeError as error:
        problem = payment_error(call, error, currency)
    raise problem  # outside the except block: the traceback must not show Stripe's text, which names payment methods


# The meaning of Stripe's objects -------------------------------------------------------------------------------------


def _charge_of(intent: stripe.PaymentIntent) -> GatewayCharge:
    """The charge in a payment intent. Raises OutcomeUnknown for an unknown status, which proves nothing."""
    code = _decline_code(intent)
    match intent.status:
        case "succeeded":
            return _captured(intent)
        case "processing":
            return _gateway_charge(intent, Status.PROCESSING, intent.amount)
        case "requires_payment_method" if code not in ("", _AUTHENTICATE):
            raise AttemptDeclined(code, "the card was declined", gateway_reference=intent.id)
        # without an error it is no decline: Stripe removes `last_payment_error` at every later update of the intent
        case "requires_action" | "requires_payment_method":
            raise RequiresAction(
                _AUTHENTICATE, "the customer must authenticate the payment", gateway_reference=intent.id
            )
        case "canceled" if code:
            raise Declined(code, "the card was declined", gateway_reference=intent.id)
        case "canceled":
            raise Declined("canceled", "the payment was canceled at Stripe", gateway_reference=intent.id)
        case other:
            raise OutcomeUnknown(
                UNKNOWN_STATUS,
                f"Stripe reports the status {word(other) or 'unreadable'}",
                gateway_reference=intent.id,
            )


def _decline_code(intent: stripe.PaymentIntent) -> str:
    """The code of the last decline, or "" if nothing shows one.

    A cancel may remove the error. The failed charge then still says why, but only the answer to `find` contains it.
    """
    if problem := intent.last_payment_error:
        return code_of(problem.to_dict()) or "card_declined"
    match intent.latest_charge:
        case stripe.Charge(status="failed") as charge:
            outcome = charge.to_dict().get("outcome") or {}
            issuer = outcome.get("type") == "issuer_declined"
            return (issuer and word(outcome.get("reason"))) or word(charge.failure_code) or "card_declined"
    return ""


def _captured(intent: stripe.PaymentIntent) -> GatewayCharge:
    """A captured charge with its refunds, which only the answer to `find` contains."""
    charge = intent.latest_charge
    refunded = charge.amount_refunded if isinstance(charge, stripe.Charge) else 0
    status = Status.PARTIALLY_REFUNDED if refunded else Status.SUCCEEDED
    if refunded and refunded >= intent.amount_received:
        status = Status.REFUNDED
    return _gateway_charge(intent, status, intent.amount_received, refunded)


def _gateway_charge(intent: stripe.PaymentIntent, status: Status, amount: int, refunded: int = 0) -> GatewayCharge:
    try:
        back = money_of(refunded, intent.currency).minor_units
        return GatewayCharge(intent.id, status, money_of(amount, intent.currency), back)
    except InvalidMoney:
        raise Conflict(
            "unreadable_amount",
            "Stripe reports an amount that we cannot have requested",
            gateway_reference=intent.id,
        ) from None


def _is_of(payment_id: str, environment_id: str, intent: stripe.PaymentIntent) -> bool:
    """True if the intent carries exactly these ids: Stripe's search ignores case (docs.stripe.com/search)."""
    return (_our_id(intent, "payment_id"), _our_id(intent, ENVIRONMENT)) == (payment_id, environment_id)


def _our_id(intent: stripe.PaymentIntent, name: str) -> str:
    """One of our ids in an intent's metadata; "" if it has none."""
    return str((intent.metadata.to_dict() if intent.metadata else {}).get(name, ""))


def _created_at(intent: stripe.PaymentIntent) -> datetime:
    return datetime.fromtimestamp(intent.created, UTC)


def _listed_charge(intent: stripe.PaymentIntent) -> ListedCharge:
    return ListedCharge(
        intent.id,
        _our_id(intent, "payment_id"),
        _our_id(intent, ENVIRONMENT),
        _created_at(intent),
        captured=intent.status == "succeeded",
        may_capture=intent.status != "canceled",
        money=_money_or_none(intent),
    )


def _money_or_none(intent: stripe.PaymentIntent) -> Money | None:
    try:
        return money_of(intent.amount, intent.currency)
    except InvalidMoney:
        return None


def _holds_money(intent: stripe.PaymentIntent) -> bool:
    """True for a captured intent that is not fully refunded."""
    charge = intent.latest_charge
    refunded = isinstance(charge, stripe.Charge) and charge.refunded
    return intent.status == "succeeded" and not refunded


def _preference(intent: stripe.PaymentIntent) -> int:
    """The rank of an intent among several of one payment: captured money first, then money that may be captured."""
    order = ("succeeded", "processing", "", "requires_action", "requires_payment_method", "canceled")
    return order.index(intent.status if intent.status in order else "")
