"""The batch lane's switch: it pauses when the gateway refuses us whatever the payment, and resumes when it is mended.

Without it, a wrong key would send ten thousand payments into retries that cannot help. The switch is an item in a
table; that the queue's messages wait meanwhile is seen to by the sweeper, which turns their delivery off.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Protocol

from payments.clock import Clock, parse_iso
from payments.errors import PaymentError

REFUSALS_UNTIL_PAUSE = 3
"""One refusal may be a key in the middle of its rotation."""
REFUSALS_WINDOW = timedelta(minutes=5)
DOUBT = timedelta(seconds=5)
"""How long after a refusal nothing more is started: what is under way decides."""


class PausedBy(StrEnum):
    """Who paused the lane."""

    GATEWAY = "gateway"
    """It refused our key or account; a payment that gets through resumes the lane."""
    OPERATOR = "operator"
    """`payctl lane pause`; only `payctl lane resume` resumes it."""


@dataclass(frozen=True, slots=True)
class LaneState:
    """Whether the lane is paused, by whom (empty: it is open), why and since when. `refused_at` is when the gateway
    last refused us, if it did since the lane was opened. `canary` is the payment that the sweeper sent ahead to see
    whether the gateway takes payments again, if it did."""

    paused_by: str = ""
    reason: str = ""
    since: str = ""
    refused_at: str = ""
    canary: str = ""

    @property
    def paused(self) -> bool:
        """True when no batch payment is to be started."""
        return bool(self.paused_by)

    def in_doubt(self, now: datetime) -> bool:
        """True when the gateway refused us this moment: the next answers tell whether that was the first of many."""
        return bool(self.refused_at) and now - parse_iso(self.refused_at) < DOUBT


class LaneStore(Protocol):
    """The switch. Adapters: `stores/controls_dynamodb.py` and `stores/controls_memory.py`."""

    def state(self) -> LaneState:
        """The lane as it stands. Strongly consistent."""

    def count_refusal(self, at: datetime, window: timedelta) -> int:
        """Count a refusal by the gateway, and remember when; gives how many there were since the window's first."""

    def pause(self, by: PausedBy, reason: str, at: datetime) -> bool:
        """Pause the lane. False, and no change, if it was paused already: of many only one is told True."""

    def resume(self) -> bool:
        """Open the lane and forget the refusals. False if it was open."""

    def send_canary(self, payment_id: str) -> None:
        """Remember which payment was sent ahead."""


class Delivery(Protocol):
    """The delivery of the queue's messages to the dispatchers."""

    def is_on(self) -> bool:
        """Whether messages are delivered, or about to be."""

    def switch(self, *, on: bool) -> None:
        """Turn it on or off. Takes some seconds; messages wait in the queue meanwhile."""


@dataclass(frozen=True)
class Lane:
    """The lane as the charge function sees it."""

    store: LaneStore
    clock: Clock

    def refused(self, error: PaymentError) -> bool:
        """The gateway refused us whatever the payment. After the first few the lane pauses: True, once a pause."""
        now = self.clock()
        refusals = self.store.count_refusal(now, REFUSALS_WINDOW)
        reason = f"{error.code}: {error.message}"
        return refusals >= REFUSALS_UNTIL_PAUSE and self.store.pause(PausedBy.GATEWAY, reason, now)
