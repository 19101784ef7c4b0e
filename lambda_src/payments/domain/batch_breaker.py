"""The batch breaker: it opens when the gateway rejects our key or account, and closes when the gateway accepts again.

Without it, a wrong key would send ten thousand payments into retries that cannot succeed. The breaker is an item in
the controls table. While it is open, the sweep function turns off the delivery of queued messages.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from payments.domain.clock import parse_iso

COOLDOWN = timedelta(seconds=5)
"""Cooldown: no payment starts for this long after a refusal, until the running payments show a result."""


class PausedBy(StrEnum):
    """Who opened the breaker, which pauses the batches."""

    GATEWAY = "gateway"
    """The gateway rejected our key or account. The first payment that gets through closes the breaker."""
    OPERATOR = "operator"
    """`payctl lane pause`. Only `payctl lane resume` closes the breaker."""


@dataclass(frozen=True, slots=True)
class BreakerState:
    """Whether the breaker is open, who opened it (empty: it is closed), why and since when. `refused_at` is the time
    of the gateway's last refusal since the breaker was closed, or empty. `probe` is the payment that recovery started
    to test whether the gateway accepts payments again, or empty."""

    paused_by: str = ""
    reason: str = ""
    since: str = ""
    refused_at: str = ""
    probe: str = ""

    @property
    def paused(self) -> bool:
        """True while the breaker is open: no batch payment may start."""
        return bool(self.paused_by)

    def cooling_down(self, now: datetime) -> bool:
        """True for a short time after a refusal: the next answers show whether more refusals follow."""
        return bool(self.refused_at) and now - parse_iso(self.refused_at) < COOLDOWN
