"""The batch breaker: it pauses when the gateway rejects our key or account, and resumes when it accepts them.

Without it, a wrong key would send ten thousand payments into retries that cannot succeed. The breaker is an item in
the controls table. While it is paused, the sweep function turns off the delivery of queued messages.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from payments.domain.clock import parse_iso

MOST_REFUSED_PAYMENTS = 100
"""The most payments that one window of refusals remembers. The next one begins another window."""

COOLDOWN = timedelta(seconds=5)
"""Cooldown: no payment starts for this long after a refusal, until the running payments show a result."""


class PausedBy(StrEnum):
    """Who paused the batches."""

    GATEWAY = "gateway"
    """The gateway rejected our key or account. The first payment that gets through resumes the breaker."""
    OPERATOR = "operator"
    """`payctl breaker pause`. Only `payctl breaker resume` ends it."""


@dataclass(frozen=True, slots=True)
class BreakerState:
    """Whether the breaker is paused, by whom (empty: it is not), why and since when. `refused_at` is the time
    of the gateway's last refusal since the breaker resumed, or empty. `probe` is the payment that recovery started
    to test whether the gateway accepts payments again, or empty."""

    paused_by: str = ""
    reason: str = ""
    since: str = ""
    refused_at: str = ""
    probe: str = ""

    @property
    def paused(self) -> bool:
        """True while the breaker is paused: no batch payment may start."""
        return bool(self.paused_by)

    def cooling_down(self, now: datetime) -> bool:
        """True for a short time after a refusal: the next answers show whether more refusals follow."""
        return bool(self.refused_at) and now - parse_iso(self.refused_at) < COOLDOWN
