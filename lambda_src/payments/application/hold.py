"""Whether a payment that was provably not sent may be sent now: the breaker may hold it, its deadline may be over."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from payments.domain.batch_breaker import BreakerState, PausedBy
from payments.domain.clock import Clock, iso
from payments.domain.deadline import MISSED, first_refused_at, is_missed
from payments.domain.outcome import Outcome
from payments.domain.payment import Payment
from payments.domain.statuses import Status
from payments.ports.batch_breaker_store import BreakerStore

REMEMBERED_FOR = timedelta(seconds=5)
"""How long a function instance believes that the breaker is not paused. That it is paused is never believed: the
payment that tests the gateway must not wait."""
BATCHES_PAUSED = "batches_paused"
"""The code of a payment that an operator's pause holds."""


@dataclass
class Hold:
    """Looks at the breaker before a payment is sent. `deadline` is how long a payment waits for the gateway."""

    store: BreakerStore
    clock: Clock
    deadline: timedelta
    remembered_for: timedelta = REMEMBERED_FOR
    _state: BreakerState = field(default_factory=BreakerState, init=False)
    _read_at: datetime | None = field(default=None, init=False)

    def __call__(self, payment: Payment) -> Outcome | None:
        """The outcome of a payment that must not be sent now; None for one that may be sent, or may have been.

        `failed` at its deadline; else `pending` with the reason, while the breaker holds it.
        """
        if payment.status is not Status.PENDING:
            return None
        state = self.state()
        if is_missed(payment, self.deadline, state, self.clock()):
            since = first_refused_at(payment)
            hours = f"{self.deadline / timedelta(hours=1):g}"
            return Outcome(
                Status.FAILED,
                MISSED,
                f"the gateway was out of reach for {hours} hours since {since and iso(since)}; nothing was charged",
            )
        waits = state.holds(payment) and payment.payment_id != state.probe
        return Outcome(Status.PENDING, *why(state)) if waits else None

    def state(self) -> BreakerState:
        """The breaker's state, or that it was not paused some seconds ago."""
        now = self.clock()
        if self._state.paused or self._read_at is None or now - self._read_at >= self.remembered_for:
            self._state, self._read_at = self.store.state(), now
        return self._state


def why(state: BreakerState) -> tuple[str, str]:
    """The code and the sentence that say why a paused breaker holds payments."""
    if state.paused_by == PausedBy.OPERATOR:
        return BATCHES_PAUSED, "an operator paused batch payments; it is sent when they are resumed"
    code, _, message = state.reason.partition(": ")
    return code, f"{message}; nothing was charged, and it is sent when the gateway accepts payments again"
