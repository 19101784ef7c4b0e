"""Dispatch: start the workflow of queued payments one by one, within the gateway's rate."""

import json
import math
from collections.abc import Callable
from dataclasses import dataclass, field

from payments.application.batch.switches import Switches
from payments.application.gateway_rate_limiter import GatewayRateLimiter
from payments.domain.payment import PAYMENT_ID
from payments.domain.statuses import OPEN
from payments.ports.batch_breaker_store import BreakerStore
from payments.ports.payment_store import NotStored, PaymentStore, require
from payments.ports.workflow import Workflow

LONGEST_BACKLOG_SECONDS = 0.6
"""The most seconds of slots that may be taken ahead of time before dispatch stops: the longest wait of a REST
payment."""
BACKPRESSURE = 0.06
"""The share of the backlog that is added to the time for each message. Dispatch therefore slows down gradually, until
it starts as many payments as there are free slots. At full speed until a hard stop, slots would stay unused."""
QUIET_SECONDS = 30.0
"""After this many seconds without a request to the gateway its state is unknown: the first payment goes alone."""
LONGEST_PROBE_SECONDS = 20.0
"""How long a dispatcher waits for the first payment to reach the gateway: a cold start of each step, and a margin. The
payment may never reach it, because validation can reject it; the others must not wait without end."""
LOOK_SECONDS = 0.1
RESERVE_SECONDS = 10.0
"""The remaining time at which a dispatcher hands its messages back: enough to send the ten of a call again."""


class MalformedMessage(ValueError):
    """A queue message without a payment_id. It can never be dispatched."""


class BatchesPaused(Exception):
    """The batch breaker is paused. The message returns to the queue."""


class BatchHeld(Exception):
    """The payment's batch is paused or canceled. The message is done: recovery queues the payment again if the batch
    is resumed. A message that waited in the queue instead would delay other batches, and be received again and again.
    """


class ShortOfTime(Exception):
    """REST payments hold the slots, or the gateway has just refused a payment, and the dispatcher's time is over.

    Nothing is wrong with the message. It is to be queued again, and to stay hidden for `seconds`.
    """

    def __init__(self, reason: str, seconds: int) -> None:
        self.seconds = seconds
        super().__init__(reason)


NEVER_DISPATCHED = (MalformedMessage, NotStored)
"""Errors that each later delivery of a message repeats. A payment's row is stored before its message is sent."""


@dataclass
class Dispatcher:
    """`interval_seconds` is the least time for each message. `monotonic` and `sleep` are those of the module `time`.

    All dispatchers together start payments at the gateway's whole rate, slightly more than there are slots. They read
    the backlog that they and the REST payments cause, and slow down with it (backpressure).

    A gateway that rejects everything should receive a few payments, not a hundred. Dispatch therefore checks the
    breaker before each message, starts nothing during the cooldown after a refusal, and after a quiet time starts one
    payment as a probe and waits until it has reached the gateway.
    """

    payments: PaymentStore
    workflow: Workflow
    breaker: BreakerStore
    rate_limiter: GatewayRateLimiter
    interval_seconds: float
    monotonic: Callable[[], float]
    sleep: Callable[[float], None]
    switches: Switches
    _last_start: float = field(default=-math.inf, init=False)

    def dispatch(self, body: str, seconds_left: Callable[[], float]) -> str:
        """Start the payment that a message names, and return its id. A payment with an outcome is not started again.

        No wait goes beyond the time that is left. Raises ShortOfTime, BatchesPaused, BatchHeld, MalformedMessage, and
        NotStored.
        """
        started_at = self.monotonic()
        self._check_breaker(seconds_left)
        payment = require(self.payments, payment_id_in(body))
        if (switch := self.switches.of(payment)).holds:
            raise BatchHeld(f"batch {payment.batch_id} has been {switch.state} since {switch.at}")
        takes_seconds = self.interval_seconds
        if payment.status in OPEN:
            while (backlog := self.rate_limiter.backlog_seconds()) > LONGEST_BACKLOG_SECONDS:
                surplus = backlog - LONGEST_BACKLOG_SECONDS + self.rate_limiter.slot.total_seconds()
                self._sleep(surplus, seconds_left, "REST payments hold the gateway's slots", surplus)
            self._start(payment.payment_id, seconds_left)
            takes_seconds += backlog * BACKPRESSURE
        self.sleep(max(0.0, takes_seconds - (self.monotonic() - started_at)))
        return payment.payment_id

    def _check_breaker(self, seconds_left: Callable[[], float]) -> None:
        while not (state := self.breaker.state()).paused and state.cooling_down(self.rate_limiter.clock()):
            self._sleep(LOOK_SECONDS, seconds_left, "the gateway refused a payment", LOOK_SECONDS)
        if not state.is_open:
            raise BatchesPaused("the environment is closed; an operator opens it")
        if state.paused:
            self.sleep(self.interval_seconds)  # return the messages slowly, not the whole queue at once
            raise BatchesPaused(f"the batch breaker has been paused since {state.since}: {state.reason}")

    def _sleep(self, seconds: float, seconds_left: Callable[[], float], why: str, back_after_seconds: float) -> None:
        """Sleep within the time that is left. Raises ShortOfTime when it is over."""
        left = seconds_left() - RESERVE_SECONDS
        if left < LOOK_SECONDS:
            raise ShortOfTime(why, math.ceil(back_after_seconds))
        self.sleep(min(seconds, left))

    def _start(self, payment_id: str, seconds_left: Callable[[], float]) -> None:
        now = self.monotonic()
        probes = now - self._last_start > QUIET_SECONDS and self.rate_limiter.idle_seconds() > QUIET_SECONDS
        self.workflow.start(payment_id)
        self._last_start = now
        longest = min(LONGEST_PROBE_SECONDS, seconds_left() - RESERVE_SECONDS)
        while probes and self.rate_limiter.idle_seconds() > self.monotonic() - now < longest:
            self.sleep(LOOK_SECONDS)


def payment_id_in(body: str) -> str:
    """The payment_id of a message. Raises MalformedMessage, whose text does not repeat the message."""
    try:
        payment_id = json.loads(body)["payment_id"]
    except (ValueError, TypeError, KeyError, RecursionError):
        raise MalformedMessage("the message is not a JSON object with a payment_id") from None
    if not isinstance(payment_id, str) or not PAYMENT_ID.fullmatch(payment_id):
        raise MalformedMessage("the message's payment_id is not valid")
    return payment_id
