"""The pace: all functions together send the gateway no more requests a second than it allows.

Time is cut into slots, one request each. A counter holds the next free slot; whoever wants to send takes it, and
sleeps until it begins. So the gateway sees an even stream, whoever sends, and nobody meets its limit. The batch lane
looks how far ahead the counter is and holds back, so that a payment over REST waits for some slots at most.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta

from payments.domain.clock import Clock
from payments.ports.slot_counter import SlotStore

LONGEST_SLEEP_SECONDS = 3.0
"""How long a function waits for its slot by itself. Beyond that the workflow waits, which costs nothing."""
SLOTS_LATE_AT_MOST = 1
"""How late a request may be for its slot: the reserve of a rate has room for that many more in a second."""
SLOTS_MISSED_AT_MOST = 3
"""A function that is late again and again is on a machine that has no time to be even: it sends."""
LONGEST_LEAD_SECONDS = 0.25
"""How far ahead of time a slot is asked for at most, so as to be ready for it."""
LEAD_KEPT = 0.9
"""The share of a lead that is kept from one time to the next, so that a slow one is forgotten after some dozen."""
Turn = Callable[[], None]
"""Waits until its slot begins; at once when that is past."""


@dataclass
class GatewayRateLimiter:
    """Hands out slots of one length. `sleep` takes seconds.

    A slot that passes while its owner gets ready is lost to all. So none is asked for that begins sooner than the
    owner will be ready, going by how long that took the last times: the lead.
    """

    slots: SlotStore
    slot: timedelta
    clock: Clock
    sleep: Callable[[float], None]
    _lead: float = field(default=0.0, init=False)  # in slots

    def take(self) -> Turn:
        """Take a slot of one's own; gives what waits until it begins. Raises NoFreeSlot when it is too far off.

        What has to be done before the request is best done between the two: the closer the wait to the request, the
        more even the stream. Who comes too late for the slot takes another one, as those who were held up together
        would otherwise all send at once; waiting may raise NoFreeSlot, too, for that reason.
        """
        asked_at = self._slots_passed()
        mine = self._next(self._lead)
        waits_first = True

        def wait() -> None:
            nonlocal mine, waits_first
            if waits_first:  # a later wait follows a request, which is no getting ready
                self._learn(self._slots_passed() - asked_at)
            waits_first = False
            for _ in range(SLOTS_MISSED_AT_MOST):
                self.sleep(max(0.0, (mine - self._slots_passed()) * self.slot.total_seconds()))
                if self._slots_passed() < mine + 1 + SLOTS_LATE_AT_MOST:
                    return
                mine = self._next()

        return wait

    def _learn(self, slots_to_get_ready: float) -> None:
        longest = timedelta(seconds=LONGEST_LEAD_SECONDS) / self.slot
        self._lead = min(longest, max(slots_to_get_ready, self._lead * LEAD_KEPT))

    def _next(self, lead: float = 0.0) -> int:
        now = self._slots_passed()
        ahead = max(1, int(timedelta(seconds=LONGEST_SLEEP_SECONDS) / self.slot))
        return self.slots.take_slot(int(now + lead) + 1, int(now) + ahead)

    def backlog_seconds(self) -> float:
        """How long a slot taken now would have to wait."""
        return max(0.0, (self.slots.next_slot() - self._slots_passed()) * self.slot.total_seconds())

    def idle_seconds(self) -> float:
        """How long ago the last slot that was taken ended; 0 while it has not."""
        return max(0.0, (self._slots_passed() - self.slots.next_slot()) * self.slot.total_seconds())

    def _slots_passed(self) -> float:
        return self.clock().timestamp() / self.slot.total_seconds()
