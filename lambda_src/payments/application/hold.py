"""Whether a payment that was provably not sent may be sent now: the breaker or its batch may hold it, its deadline be
over."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from payments.application.charge import as_recorded
from payments.domain.batch.switch import Switch
from payments.domain.batch_breaker import BreakerState, PausedBy
from payments.domain.clock import Clock, iso
from payments.domain.deadline import MISSED, deadline_of, first_refused_at, is_missed
from payments.domain.fraud_hold import Verdict
from payments.domain.outcome import Outcome
from payments.domain.payment import Payment
from payments.domain.recovery_timeouts import RecoveryTimeouts
from payments.domain.statuses import Status
from payments.ports.batch_breaker_store import BreakerStore

REMEMBERED_FOR = timedelta(seconds=5)
"""How long a function instance believes that the breaker is not paused. That it is paused is never believed: the
payment that tests the gateway must not wait."""
BATCHES_PAUSED = "batches_paused"
"""The code of a payment that an operator's pause of all batches holds."""
BATCH_PAUSED = "batch_paused"
"""The code of a payment whose own batch is paused."""
_BATCH_IS_PAUSED = "an operator paused its batch; it is sent when the batch is resumed"


@dataclass(frozen=True, slots=True)
class Waiting:
    """Why a payment waits to be sent, and until when, in ISO 8601.

    `next_attempt_at` is "" while the breaker or its batch holds it: that ends when the gateway accepts payments again,
    or an operator resumes them. `fails_at` is "" without a deadline.
    """

    code: str
    message: str
    next_attempt_at: str = ""
    fails_at: str = ""


@dataclass
class Hold:
    """Looks at the breaker, and at the switch of a payment's batch, before a payment is sent. `timeouts` has the
    deadline. `is_open` answers for payments that the breaker does not hold; without it, the store does."""

    store: BreakerStore
    clock: Clock
    timeouts: RecoveryTimeouts = field(default_factory=RecoveryTimeouts)
    switch_of: Callable[[Payment], Switch] = lambda _: Switch()
    remembered_for: timedelta = REMEMBERED_FOR
    is_open: Callable[[], bool] | None = None
    _state: BreakerState = field(default_factory=BreakerState, init=False)
    _read_at: datetime | None = field(default=None, init=False)

    def __call__(self, payment: Payment) -> Outcome | None:
        """The outcome of a payment that must not be sent now; None for one that may be sent, or may have been.

        In a closed environment each payment stays as it is recorded, and the gateway is not called.

        `failed` at its deadline; else `pending` with the reason, while the breaker or its batch holds it. The switch is
        read for every payment of a batch: a request over REST and a restart start one without a look of dispatch.
        """
        if payment.status is not Status.PENDING:
            return None if self._is_open() else as_recorded(payment)
        state = self.state()
        if not state.is_open:
            return as_recorded(payment)
        switch = self.switch_of(payment)
        if is_missed(payment, self.timeouts.deadline, state, self.clock(), switch):
            since = first_refused_at(payment)
            return Outcome(
                Status.FAILED,
                MISSED,
                f"the gateway was out of reach since {since and iso(since)}, and its time is over; nothing was charged",
            )
        is_probe = payment.payment_id == state.probe and not state.operator_holds(payment)
        waits = state.holds(payment) and not is_probe
        if waits:
            return Outcome(Status.PENDING, *_reason(state))
        if switch.is_paused:
            return Outcome(Status.PENDING, BATCH_PAUSED, _BATCH_IS_PAUSED)
        return Outcome(Status.PENDING) if switch.holds else None  # canceled: the report function ends it

    def _is_open(self) -> bool:
        return self.is_open() if self.is_open else self.state().is_open

    def waiting(self, payment: Payment) -> Waiting | None:
        """Why a payment waits, as its client may know it. None unless it is `pending` and held, or was refused."""
        if payment.status is not Status.PENDING:
            return None
        state, switch = self.state(), self.switch_of(payment)
        if switch.is_paused:
            return Waiting(BATCH_PAUSED, _BATCH_IS_PAUSED)
        ends = deadline_of(payment, self.timeouts.deadline, state, switch)
        fails_at = iso(ends) if ends else ""
        if state.holds(payment):
            return Waiting(*_reason(state), fails_at=fails_at)
        if not payment.code or payment.code in (Verdict.APPROVED, Verdict.RELEASED):
            return None
        next_at = max(self.timeouts.restart_at(payment), self.clock())
        return Waiting(payment.code, payment.message, iso(next_at), fails_at)

    def batch_holds(self, payment: Payment) -> bool:
        """Whether the payment's batch is paused or canceled, so that it must not be started."""
        return self.switch_of(payment).holds

    def state(self) -> BreakerState:
        """The breaker's state, or that it was not paused some seconds ago."""
        now = self.clock()
        seen = self._state
        if seen.paused or not seen.is_open or self._read_at is None or now - self._read_at >= self.remembered_for:
            self._state, self._read_at = self.store.state(), now
        return self._state


def _reason(state: BreakerState) -> tuple[str, str]:
    """The code and the sentence that say why a paused breaker holds payments."""
    if state.paused_by == PausedBy.OPERATOR:
        return BATCHES_PAUSED, "an operator paused batch payments; it is sent when they are resumed"
    code, _, message = state.reason.partition(": ")
    return code, f"{message}; nothing was charged, and it is sent when the gateway accepts payments again"
