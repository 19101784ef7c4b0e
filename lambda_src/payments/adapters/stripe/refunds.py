"""Refunds at Stripe (docs.stripe.com/api/refunds), with the official SDK."""

from collections.abc import Callable
from typing import Any

import stripe

from payments.adapters.stripe.amounts import money_of, stripe_amount
from payments.adapters.stripe.client import services
from payments.adapters.stripe.errors import Call, payment_error, word
from payments.adapters.stripe.gateway import CONNECT_TIMEOUT_SECONDS, READ_TIMEOUT_SECONDS
from payments.domain.errors import UNKNOWN_STATUS, InvalidPayment, OutcomeUnknown
from payments.domain.money import InvalidMoney, Money
from payments.domain.payment import ENVIRONMENT, PAYMENT_ID
from payments.domain.refund import REFUND_KEY
from payments.domain.refund_statuses import RefundStatus
from payments.ports.refund_gateway import GatewayRefund, RefundOrder

_STATUSES = {
    "pending": RefundStatus.PROCESSING,
    "requires_action": RefundStatus.REQUIRES_ACTION,
    "succeeded": RefundStatus.SUCCEEDED,
    "failed": RefundStatus.FAILED,
    "canceled": RefundStatus.CANCELED,
}
_PAGE = 100
_EXPANDED = ["charge"]
"""The charge of a refund says what is refunded of it in all, in the same answer."""


class StripeRefunds:
    """RefundGateway on Stripe. It never retries: the workflow retries, where the retries are visible."""

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
        self._refunds = services(base_url, connect_timeout_seconds, read_timeout_seconds).refunds

    def create_refund(self, order: RefundOrder) -> GatewayRefund:
        """Create a refund, with our ids in its idempotency key and its metadata. Raises the errors of the port."""
        try:
            amount = stripe_amount(order.money)
        except InvalidMoney as error:
            raise InvalidPayment("amount_not_supported", str(error)) from None
        ours = {REFUND_KEY: order.refund_id, "payment_id": order.payment_id, ENVIRONMENT: order.environment_id}
        params: Any = {
            "payment_intent": order.charge,
            "amount": amount,
            "metadata": {**order.metadata, **{name: value for name, value in ours.items() if value}},
            "expand": _EXPANDED,
        } | ({"reason": order.reason} if order.reason else {})
        key = self._api_key()
        options: Any = {"api_key": key, "idempotency_key": order.key}
        return _refund_of(_asked(lambda: self._refunds.create(params, options=options), Call.REFUND))

    def refund(self, reference: str) -> GatewayRefund:
        """Retrieve a refund with its charge."""
        key = self._api_key()
        params: Any = {"expand": _EXPANDED}
        return _refund_of(
            _asked(lambda: self._refunds.retrieve(reference, params, options={"api_key": key}), Call.RETRIEVE_REFUND)
        )

    def refunds_of(self, charge: str) -> tuple[GatewayRefund, ...]:
        """All pages of the list of the refunds of a payment intent. Read-after-write is what Stripe's docs use lists
        for (docs.stripe.com/search#data-freshness)."""
        found: list[GatewayRefund] = []
        after = ""
        while True:
            params: Any = {"payment_intent": charge, "limit": _PAGE, "expand": [f"data.{name}" for name in _EXPANDED]}
            page = self._page(params | ({"starting_after": after} if after else {}))
            found += map(_refund_of, page.data)
            if not page.has_more:
                return tuple(found)
            after = page.data[-1].id

    def _page(self, params: Any) -> Any:
        key = self._api_key()
        return _asked(lambda: self._refunds.list(params, options={"api_key": key}), Call.LIST_REFUNDS)


def _asked[T](request: Callable[[], T], call: Call) -> T:
    try:
        return request()
    except stripe.StripeError as error:
        problem = payment_error(call, error)
    raise problem  # outside the except block: the traceback must not show Stripe's text


def _refund_of(refund: Any) -> GatewayRefund:
    """The refund in Stripe's object. Raises OutcomeUnknown for an unknown status, which proves nothing."""
    status = _STATUSES.get(refund.status)
    if status is None:
        raise OutcomeUnknown(UNKNOWN_STATUS, f"Stripe reports the status {word(refund.status) or 'unreadable'}")
    values = refund.to_dict()
    refunded = refund.charge.amount_refunded if isinstance(refund.charge, stripe.Charge) else 0
    total = _money_or_none(refunded, refund.currency)
    ours = values.get("metadata") or {}
    return GatewayRefund(
        refund.id,
        status,
        _money_or_none(refund.amount, refund.currency),
        total.minor_units if total else 0,
        refund_id=_id(ours.get(REFUND_KEY)),
        environment_id=_id(ours.get(ENVIRONMENT)),
        reason=word(values.get("reason")),
        code=word(values.get("failure_reason")) or word(values.get("pending_reason")),
    )


def _id(value: object) -> str:
    """One of our ids, or "" for a value that none of our code wrote."""
    return value if isinstance(value, str) and PAYMENT_ID.fullmatch(value) else ""


def _money_or_none(amount: int, currency: str) -> Money | None:
    try:
        return money_of(amount, currency)
    except InvalidMoney:
        return None
