"""The next action of a payment intent that waits for its customer."""

from collections.abc import Callable, Mapping
from typing import Any

import stripe

from payments.adapters.stripe.client import payment_intents
from payments.adapters.stripe.errors import Call, code_of, payment_error, word
from payments.domain.errors import Misconfigured
from payments.ports.next_actions import NextAction

CONNECT_TIMEOUT_SECONDS = 1.0
READ_TIMEOUT_SECONDS = 3.0
"""Short, because a client waits. The function that reads next actions needs a time-out longer than the sum of both."""
BY_STRIPE_JS = "use_stripe_sdk"
"""Stripe's word for an action that only Stripe.js can carry out, with the client secret."""


class StripeNextActions:
    """NextActions on Stripe. Each read retrieves the payment intent."""

    def __init__(
        self,
        api_key: Callable[[], str],
        *,
        refused: Callable[[], object] = lambda: None,
        base_url: str = stripe.DEFAULT_API_BASE,
        connect_timeout_seconds: float = CONNECT_TIMEOUT_SECONDS,
        read_timeout_seconds: float = READ_TIMEOUT_SECONDS,
    ) -> None:
        """`api_key` returns the secret key. `refused` is called when Stripe rejects it."""
        self._api_key = api_key
        self._refused = refused
        self._intents = payment_intents(base_url, connect_timeout_seconds, read_timeout_seconds)

    def next_action(self, reference: str) -> NextAction | None:
        """The action of the intent, or None if it waits for nothing. Raises the errors of the port."""
        key = self._api_key()
        try:
            return _next_action(self._intents.retrieve(reference, options={"api_key": key}))
        except stripe.StripeError as error:
            problem = payment_error(Call.RETRIEVE, error)
        if isinstance(problem, Misconfigured):
            self._refused()
        raise problem  # outside the except block: the traceback must not show Stripe's text


def _next_action(intent: stripe.PaymentIntent) -> NextAction | None:
    """What Stripe's object says. A shape that is not known here is no action."""
    content: dict[str, Any] = intent.to_dict()
    match content:
        case {
            "status": "requires_action",
            "client_secret": str(secret),
            "next_action": {"type": str(method)} as action,
        }:
            return NextAction(word(method), secret, redirect_url=_redirect_url(action))
        # Stripe declined a charge without its customer and removed the card: the customer confirms it again
        case {
            "status": "requires_payment_method",
            "client_secret": str(secret),
            "last_payment_error": {"payment_method": {"id": str(payment_method)}} as problem,
        } if code_of(problem) == "authentication_required":
            return NextAction(BY_STRIPE_JS, secret, payment_method=payment_method)
    return None


def _redirect_url(action: Mapping[str, Any]) -> str:
    match action:
        case {"redirect_to_url": {"url": str(url)}}:
            return url
    return ""
