"""The switch of a batch: whether its payments may start. An operator sets it."""

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from payments.domain.batch_breaker import Pause
from payments.domain.clock import iso, parse_iso

MOST_PAUSES = 50
"""The most pauses that a batch remembers, the latest ones. Each stops the deadlines of its payments."""


class SwitchState(StrEnum):
    """What an operator decided about a batch."""

    RUNNING = "running"
    """Its payments start. This is the state of every new batch."""
    PAUSED = "paused"
    """No payment of it starts until the batch is resumed."""
    CANCELED = "canceled"
    """No payment of it starts any more; those that were not sent end `rejected`. This is final."""


@dataclass(frozen=True, slots=True)
class Switch:
    """The state, who set it last, and when; both are "" if it was never set. `pauses` are the latest ones that are
    over."""

    state: SwitchState = SwitchState.RUNNING
    by: str = ""
    at: str = ""
    pauses: tuple[Pause, ...] = ()

    @property
    def holds(self) -> bool:
        """Whether it keeps the batch's payments from starting."""
        return self.state is not SwitchState.RUNNING

    @property
    def is_canceled(self) -> bool:
        """Whether the batch is canceled."""
        return self.state is SwitchState.CANCELED

    @property
    def is_paused(self) -> bool:
        """Whether the batch waits until an operator resumes it."""
        return self.state is SwitchState.PAUSED

    def turned(self, state: SwitchState, by: str, at: str) -> "Switch":
        """The switch after an operator has set it. A pause that ends is remembered."""
        ended = (Pause(self.at, at),) if self.is_paused else ()
        return Switch(state, by, at, (*self.pauses, *ended)[-MOST_PAUSES:])

    def resumed_after(self, time: str) -> bool:
        """Whether the batch was resumed after this time: messages from before may be gone."""
        return self.state is SwitchState.RUNNING and self.at > time


@dataclass(frozen=True, slots=True)
class CancelPass:
    """How far the payments of a canceled batch are ended: all up to `line`. Until `until`, a run owns this work.

    `passed_at` is when the last pass over all rows ended; "" before the first one. Rows that were being sent then may
    come back to `pending`, and the index may have lacked a row. Therefore passes are repeated while a row is open.
    """

    line: int = 0
    passed_at: str = ""
    until: str = ""

    def is_due(self, now: str, every: timedelta) -> bool:
        """Whether another run should continue the pass, or begin the next one `every` after the last."""
        if self.until >= now:
            return False
        return bool(self.line) or not self.passed_at or iso(parse_iso(self.passed_at) + every) <= now
