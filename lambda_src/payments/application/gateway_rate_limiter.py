"""The gateway rate limiter: all functions together send no more requests a second than the gateway allows.

Time is divided into slots of one request each. A counter holds the next free slot. A function takes a slot and sleeps
until it begins. The gateway therefore receives an even stream of requests within its limit. The batch dispatchers read
how far ahead the counter is and slow down (backpressure), so that a REST payment waits for a few slots at most.

If REST payments alone exceed the rate, each takes a ticket: slots far ahead, taken once. Its workflow waits until then.
Without tickets every waiting payment would return every few seconds, and the returns would grow with the backlog.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from payments.domain.clock import Clock
from payments.ports.slot_counter import NoFreeSlot, SlotStore

LONGEST_SLEEP_SECONDS = 3.0
"""The longest time that a function sleeps until its slot. Beyond it the workflow waits, which costs nothing."""
READY_SECONDS = 2.0
"""How long before its slot the holder of a ticket returns: Step Functions waits in whole seconds, a function starts in
about one. The holder sleeps for the rest."""
LONGEST_TICKET_SECONDS = 3600
"""No ticket is further ahead. An alarm reports payments that are open for longer (`RecoveryTimeouts.overdue`)."""
LATE_SECONDS_AT_MOST = 0.08
"""How long after its slot has begun a request may be sent. Any second then has the requests of the slots that begin in
1.08 seconds, for which a reserve of 8 % has room at every rate. A number of slots would not fit all rates: at five
requests a second, one slot more is a fifth of the rate."""
SLOTS_MISSED_AT_MOST = 3
"""After this many missed slots the function sends anyway: its machine is too slow to keep to the slots."""
LONGEST_LEAD_SECONDS = 0.25
"""The longest lead: how far ahead of time a slot is requested, so that the function is ready when it begins."""
LEAD_KEPT = 0.9
"""The share of the lead that is kept each time. One slow preparation is forgotten after a few dozen requests."""
Turn = Callable[[], None]
"""Waits until its slot begins. Returns at once if the slot has already begun."""


@dataclass(frozen=True, slots=True)
class Ticket:
    """The slots that one payment holds: `slot` is the number of the first, `requests` is how many they are."""

    slot: int
    requests: int = 1


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
    _seen: int = field(default=0, init=False)  # a value that the counter had

    def take(self, ticket: Ticket | None = None) -> Turn:
        """Take a slot. Returns a function that waits until the slot begins. Raises NoFreeSlot if it is too far away.

        The holder of a ticket has its slots already. A ticket whose slot is over is worth nothing.

        Prepare the request between the two calls: the closer the wait is to the request, the more even is the stream.
        A caller that is too late for its slot takes another one, so that delayed callers do not all send at the same
        time. Each later wait takes a slot of its own, for another request. The wait can therefore raise NoFreeSlot.
        """
        if ticket and not self._is_over(ticket.slot):
            return self._turn_of(ticket)
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
                self._sleep_until(mine)
                if not self._is_over(mine):
                    return
                mine = self._next()

        return wait

    def take_ticket(self, requests: int = 1, within_seconds: float = LONGEST_TICKET_SECONDS) -> Ticket:
        """Take the next free slots for so many requests. Raises NoFreeSlot if they are further ahead."""
        now = self._slots_passed()
        first, last = (timedelta(seconds=s) / self.slot for s in (LONGEST_SLEEP_SECONDS, within_seconds))
        ticket = Ticket(self.slots.take_slot(int(now + first) + 1, int(now + last), requests), requests)
        self._seen = ticket.slot + requests
        return ticket

    def require_room(self) -> None:
        """Raise NoFreeSlot if the last ticket taken here shows that `take` would: the counter never goes back."""
        if self._seen > self._last_near():
            raise NoFreeSlot

    def begins(self, ticket: Ticket) -> datetime:
        """When the first slot of a ticket begins."""
        return datetime.fromtimestamp(0, UTC) + ticket.slot * self.slot

    def seconds_to_wait(self, ticket: Ticket) -> int:
        """Whole seconds until the holder of a ticket must return; 0 if it may sleep until its slot."""
        left = (ticket.slot - self._slots_passed()) * self.slot.total_seconds()
        return 0 if left <= LONGEST_SLEEP_SECONDS else int(left - READY_SECONDS)

    def _turn_of(self, ticket: Ticket) -> Turn:
        """The turn of a ticket. It raises NoFreeSlot if the slot is over: a ticket is never used late.

        The ticket's further slots are for the requests that follow an answer to the first. They are sent as soon as the
        answer and the slot are there. A request beyond them takes a slot like any other.
        """
        used = 0

        def wait() -> None:
            nonlocal used
            used += 1
            if used > ticket.requests:
                self._sleep_until(self._next())
                return
            self._sleep_until(ticket.slot + used - 1)
            if used == 1 and self._is_over(ticket.slot):
                raise NoFreeSlot

        return wait

    def _sleep_until(self, slot: int) -> None:
        self.sleep(max(0.0, (slot - self._slots_passed()) * self.slot.total_seconds()))

    def _is_over(self, slot: int) -> bool:
        return (self._slots_passed() - slot) * self.slot.total_seconds() >= LATE_SECONDS_AT_MOST

    def _learn(self, slots_to_get_ready: float) -> None:
        longest = timedelta(seconds=LONGEST_LEAD_SECONDS) / self.slot
        self._lead = min(longest, max(slots_to_get_ready, self._lead * LEAD_KEPT))

    def _next(self, lead: float = 0.0) -> int:
        return self.slots.take_slot(int(self._slots_passed() + lead) + 1, self._last_near())

    def _last_near(self) -> int:
        """The last slot that a function sleeps for."""
        return int(self._slots_passed()) + max(1, int(timedelta(seconds=LONGEST_SLEEP_SECONDS) / self.slot))

    def backlog_seconds(self) -> float:
        """How many seconds a slot taken now would have to wait."""
        return max(0.0, (self.slots.next_slot() - self._slots_passed()) * self.slot.total_seconds())

    def idle_seconds(self) -> float:
        """How many seconds ago the last slot taken ended; 0 before its end."""
        return max(0.0, (self._slots_passed() - self.slots.next_slot()) * self.slot.total_seconds())

    def _slots_passed(self) -> float:
        return self.clock().timestamp() / self.slot.total_seconds()
