"""Settings of the fake Stripe that apply to all requests. They can be changed while it runs."""

from dataclasses import dataclass, fields
from typing import Any


@dataclass(slots=True)
class Settings:
    """Shared by all components. They read the current values for every request."""

    requests_per_second: int = 0
    """The maximum number of requests in any second. 0 means no limit."""
    search_lag_seconds: float = 0.0
    """Search does not show intents that changed within this time. Stripe's search lags by up to a minute."""
    idempotency_keys_hours: float = 24.0
    """Keys are forgotten this long after their first use. Stripe may forget them after 24 hours."""
    webhook_retry_seconds: float = 0.5
    """The wait before the second attempt of a delivery. Each further wait is twice as long."""

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

    def reset(self) -> None:
        """Return to the defaults."""
        for field in fields(self):
            setattr(self, field.name, field.default)
