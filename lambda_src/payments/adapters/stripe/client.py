"""The client of Stripe's API, with explicit time-outs and no retries."""

from typing import TYPE_CHECKING

import stripe

from payments.adapters.stripe.connections import session

if TYPE_CHECKING:
    from stripe._payment_intent_service import PaymentIntentService
    from stripe._v1_services import V1Services

API_VERSION = "2026-10-28.endive"
"""Pinned, so that neither an SDK upgrade nor the account's default version changes the meaning of answers."""


def payment_intents(
    base_url: str, connect_timeout_seconds: float, read_timeout_seconds: float
) -> "PaymentIntentService":
    """The service of payment intents at `base_url`. Every call passes its own API key."""
    return services(base_url, connect_timeout_seconds, read_timeout_seconds).payment_intents


def services(base_url: str, connect_timeout_seconds: float, read_timeout_seconds: float) -> "V1Services":
    """All services at `base_url`. Every call passes its own API key."""
    return stripe.StripeClient(
        api_key="",
        base_addresses={"api": base_url},
        stripe_version=API_VERSION,
        max_network_retries=0,
        http_client=stripe.RequestsClient(timeout=(connect_timeout_seconds, read_timeout_seconds), session=session()),
    ).v1
