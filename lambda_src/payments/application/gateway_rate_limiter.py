"""The gateway rate limiter: all functions together send no more requests a second than the gateway allows.

Time is divided into slots of one request each. A counter holds the next free slot. A function takes a slot and sleeps
until it begins. The gateway therefore receives an even stream of requests within its limit. The batch dispatchers read
how far ahead the counter is and slow down (backpressure), so that a REST payment waits for a few slots at most.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta

from payments.domain.clock import Clock
from payments.ports.slot_counter import SlotStore

LONGEST_SLEEP_SECONDS = 3.0
"""The longest time that a function sleeps until its slot. Beyond it the workflow waits, which costs nothing."""
SLOTS_LATE_AT_MOST = 1
"""How many slots late a request may be. The rate's reserve has room for that many more requests in a second."""
SLOTS_MISSED_AT_MOST = 3
"""After this many missed slots the function sends anyway: its machine is too slow to keep to the slots."""
LONGEST_LEAD_SECONDS = 0.25
"""The longest lead: how far ahead of time a slot is requested, so that the function is ready when it begins."""
LEAD_KEPT = 0.9
"""The share of the lead that is kept each time. One slow preparation is forgotten after a few dozen requests."""
Turn = Callable[[], None]
"""Waits until its slot begins. Returns at once if the slot has already begun."""


@dataclass
class GatewayRateLimiter:
    """Hands out slots of one length. `sleep` takes seconds.

    A slot that begins before its owner is ready is lost. The limiter therefore measures how long functions take to
    get ready (the lead), and takes no slot that begins earlier.
    """

    slots: SlotStore
    slot: timedelta
    clock: Clock
    sleep: Callable[[float], None]
    _lead: float = field(default=0.0, init=False)  # in slots

    def take(self) -> Turn:
        """Take a slot. Returns a function that waits until the slot begins. Raises NoFreeSlot if it is too far away.

        Prepare the request between the two calls: the closer the wait is to the request, the more even is the stream.
        A caller that is too late for its slot takes another one, so that delayed callers do not all send at the same
        time. Each later wait takes a slot of its own, for another request. The wait can therefore raise NoFreeSlot.
        """
        asked_at = self._slots_passed()
        mine = self._next(self._lead)
        used = False

        def wait() -> None:
            nonlocal mine, used
            if used:  # it follows a request, and measures no preparation
                mine = self._next()
            else:
                self._learn(self._slots_passed() - asked_at)
            used = True
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
        """How many seconds a slot taken now would have to wait."""
        return max(0.0, (self.slots.next_slot() - self._slots_passed()) * self.slot.total_seconds())

    def idle_seconds(self) -> float:
        """How many seconds ago the last slot taken ended; 0 before its end."""
        return max(0.0, (self._slots_passed() - self.slots.next_slot()) * self.slot.total_seconds())

    def _slots_passed(self) -> float:
        return self.clock().timestamp() / self.slot.total_seconds()
