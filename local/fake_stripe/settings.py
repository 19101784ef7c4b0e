"""How the stand-in behaves towards everybody, settable while it runs."""

from dataclasses import dataclass, fields
from typing import Any


@dataclass(slots=True)
class Settings:
    """Shared by all parts, which read it anew for every request."""

    requests_per_second: int = 0
    """At most so many requests in any second; 0 is no limit."""
    search_lag_seconds: float = 0.0
    """Search does not see intents that changed in the last so many seconds. Stripe's lags by up to a minute."""
    idempotency_keys_hours: float = 24.0
    """Keys are forgotten so long after their first use, as Stripe's may be after 24 hours."""
    webhook_retry_seconds: float = 0.5
    """The wait before the second try of a delivery; each further one is twice as long."""

    def change(self, body: dict[str, Any]) -> None:
        """Take over what `body` names, all of it or nothing. Raises ValueError that names what is wrong."""
        kinds = {field.name: (int, float) if field.type is float else int for field in fields(self)}
        for name, value in body.items():
            if name not in kinds:
                raise ValueError(f"unknown {name}; there are {', '.join(kinds)}")
            if isinstance(value, bool) or not isinstance(value, kinds[name]) or value < 0:
                raise ValueError(f"{name} must be a number from 0 on")
        for name, value in body.items():
            setattr(self, name, value)

    def reset(self) -> None:
        """As freshly started."""
        for field in fields(self):
            setattr(self, field.name, field.default)
