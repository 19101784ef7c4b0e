"""Customers, setup intents and attached payment methods at Stripe."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import stripe

from payments.adapters.stripe.client import services
from payments.adapters.stripe.errors import Call, payment_error, word
from payments.adapters.stripe.next_actions import CONNECT_TIMEOUT_SECONDS, READ_TIMEOUT_SECONDS
from payments.domain.errors import InvalidPayment, Misconfigured
from payments.domain.gateway_event import CUSTOMER_KEY
from payments.domain.payment import ENVIRONMENT
from payments.ports.saved_methods import SavedMethod, Setup

if TYPE_CHECKING:
    from stripe._request_options import RequestOptions

MOST_METHODS = 100
"""The cards on one page of Stripe's list, which is the most that it returns at once."""


class StripeSavedMethods:
    """SavedMethods on Stripe. It sends no personal data: a customer there carries our id and the environment's."""

    def __init__(
        self,
        api_key: Callable[[], str],
        environment_id: str,
        *,
        refused: Callable[[], object] = lambda: None,
        base_url: str = stripe.DEFAULT_API_BASE,
        connect_timeout_seconds: float = CONNECT_TIMEOUT_SECONDS,
        read_timeout_seconds: float = READ_TIMEOUT_SECONDS,
    ) -> None:
        """`api_key` returns the secret key. `refused` is called when Stripe rejects it."""
        self._api_key = api_key
        self._environment_id = environment_id
        self._refused = refused
        self._stripe = services(base_url, connect_timeout_seconds, read_timeout_seconds)

    def create_customer(self, customer_id: str) -> str:
        """Create a customer. Our customer and environment are the idempotency key, which no payment id can equal."""
        params: Any = {"metadata": self._metadata(customer_id)}
        key = f"customer:{self._environment_id}:{customer_id}"
        made = self._asked(
            Call.CREATE_CUSTOMER,
            lambda options: self._stripe.customers.create(params, options={**options, "idempotency_key": key}),
        )
        return made.id

    def start_setup(self, gateway_customer: str, customer_id: str) -> Setup:
        """Create a setup intent for cards, for payments in the customer's absence too."""
        params: Any = {
            "customer": gateway_customer,
            "payment_method_types": ["card"],
            "usage": "off_session",
            "metadata": self._metadata(customer_id),
        }
        intent = self._asked(
            Call.START_SETUP, lambda options: self._stripe.setup_intents.create(params, options=options)
        )
        return Setup(intent.id, intent.client_secret or "", word(intent.status))

    def of(self, gateway_customer: str) -> Sequence[SavedMethod]:
        """The first page of the customer's cards."""
        params: Any = {"type": "card", "limit": MOST_METHODS}
        page = self._asked(
            Call.LIST_METHODS,
            lambda options: self._stripe.customers.payment_methods.list(gateway_customer, params, options=options),
        )
        return [_saved_method(method) for method in page.data if method.card]

    def detach(self, method_id: str) -> None:
        """Detach a payment method, which Stripe never attaches again."""
        self._unless_unknown(
            Call.DETACH, lambda options: self._stripe.payment_methods.detach(method_id, options=options)
        )

    def delete_customer(self, gateway_customer: str) -> None:
        """Delete a customer. Its cards can no longer be charged."""
        self._unless_unknown(
            Call.DELETE_CUSTOMER, lambda options: self._stripe.customers.delete(gateway_customer, options=options)
        )

    def _metadata(self, customer_id: str) -> dict[str, str]:
        return {CUSTOMER_KEY: customer_id, ENVIRONMENT: self._environment_id}

    def _unless_unknown(self, call: Call, request: Callable[["RequestOptions"], object]) -> None:
        try:
            self._asked(call, request)
        except InvalidPayment:  # an earlier request did it
            return

    def _asked[T](self, call: Call, request: Callable[["RequestOptions"], T]) -> T:
        options: RequestOptions = {"api_key": self._api_key()}
        try:
            return request(options)
        except stripe.StripeError as error:
            problem = payment_error(call, error)
        if isinstance(problem, Misconfigured):
            self._refused()
        raise problem  # outside the except block: the traceback must not show Stripe's text, which names people


def _saved_method(method: stripe.PaymentMethod) -> SavedMethod:
    card = method.card
    if card is None:
        raise AssertionError("the list is of cards")
    return SavedMethod(method.id, word(card.brand), card.last4, card.exp_month, card.exp_year)
