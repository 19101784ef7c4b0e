"""The batch lane's switch: it pauses when the gateway refuses us whatever the payment, and resumes when it is mended.

Without it, a wrong key would send ten thousand payments into retries that cannot help. The switch is an item in a
table; that the queue's messages wait meanwhile is seen to by the sweeper, which turns their delivery off.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from payments.domain.clock import parse_iso

COOLDOWN = timedelta(seconds=5)
"""How long after a refusal nothing more is started: what is under way decides."""


class PausedBy(StrEnum):
    """Who paused the lane."""

    GATEWAY = "gateway"
    """It refused our key or account; a payment that gets through resumes the lane."""
    OPERATOR = "operator"
    """`payctl lane pause`; only `payctl lane resume` resumes it."""


@dataclass(frozen=True, slots=True)
class BreakerState:
    """Whether the lane is paused, by whom (empty: it is open), why and since when. `refused_at` is when the gateway
    last refused us, if it did since the lane was opened. `probe` is the payment that the sweeper sent ahead to see
    whether the gateway takes payments again, if it did."""

    paused_by: str = ""
    reason: str = ""
    since: str = ""
    refused_at: str = ""
    probe: str = ""

    @property
    def paused(self) -> bool:
        """True when no batch payment is to be started."""
        return bool(self.paused_by)

    def cooling_down(self, now: datetime) -> bool:
        """True when the gateway refused us this moment: the next answers tell whether that was the first of many."""
        return bool(self.refused_at) and now - parse_iso(self.refused_at) < COOLDOWN
