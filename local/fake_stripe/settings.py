"""Settings of the fake Stripe that apply to all requests. They can be changed while it runs."""

from dataclasses import dataclass, fields
from typing import Any

RATE_LIMITS = {
    "none": (0, 0, 0, 0),
    "stripe": (25, 25, 20, 1000),
    "stripe_live": (100, 25, 20, 1000),
}
"""Names of rate limits, in the order of the settings: none, those of a sandbox, and those of live mode
(docs.stripe.com/rate-limits, docs.stripe.com/search)."""
_RATE_LIMITED = (
    "requests_per_second",
    "endpoint_requests_per_second",
    "search_requests_per_second",
    "updates_per_intent_per_hour",
)


@dataclass(slots=True)
class Settings:
    """Shared by all components. They read the current values for every request."""

    requests_per_second: int = 0
    """The maximum number of requests in any second. 0 means no limit, here and below."""
    endpoint_requests_per_second: int = 0
    """The same for each endpoint: a method and the template of a path."""
    search_requests_per_second: int = 0
    """The same for all search endpoints together."""
    updates_per_intent_per_hour: int = 0
    """The maximum number of POST requests about one payment intent in any hour."""
    search_lag_seconds: float = 0.0
    """Search does not show intents that changed within this time. Stripe's search lags by up to a minute."""
    idempotency_keys_hours: float = 24.0
    """Keys are forgotten this long after their first use. Stripe may forget them after 24 hours."""
    webhook_retry_seconds: float = 0.5
    """The wait before the second attempt of a delivery. Each further wait is twice as long."""

    create_names_source: int = 1
    """1: create with `confirm` rejects an attached method without a customer with a code and a parameter, as confirm
    does. 0: without both. It is not documented which of them is right."""
    metadata_phrases: int = 0
    """1: search finds a phrase in a longer value of metadata, as in string fields. The documentation says that metadata
    is compared as a whole."""
    attempts_per_intent: int = 0
    """An intent is canceled when its payment failed so many times. 0 means no limit. Stripe's limit varies."""
    restricted_keys_read_account: int = 0
    """1: restricted keys have the permission to read their account. 0: they get 403."""
    permission_error_names_account: int = 1
    """1: that 403 names the account in its text, as recorded. 0: it does not."""
    refund_outcome_seconds: float = 0.5
    """How long after its creation the refund of a test card for refunds gets its outcome."""

    def change(self, body: dict[str, Any]) -> None:
        """Change the settings in `body`, either all or none. Raises ValueError with the error."""
        kinds = {field.name: (int, float) if field.type is float else int for field in fields(self)}
        for name, value in body.items():
            if name not in kinds:
                raise ValueError(f"unknown {name}; there are {', '.join(kinds)}")
            if isinstance(value, bool) or not isinstance(value, kinds[name]) or value < 0:
                raise ValueError(f"{name} must be a number of at least 0")
        for name, value in body.items():
            setattr(self, name, value)

    def limit_rates(self, name: str) -> None:
        """Set the rate limits with this name. Raises ValueError with the error."""
        if name not in RATE_LIMITS:
            raise ValueError(f"unknown rate limits; there are {', '.join(RATE_LIMITS)}")
        self.change(dict(zip(_RATE_LIMITED, RATE_LIMITS[name], strict=True)))

    def reset(self) -> None:
        """Return to the defaults."""
        for field in fields(self):
            setattr(self, field.name, field.default)
