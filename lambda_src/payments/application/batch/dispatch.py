"""Dispatch: start the workflow of queued payments, one after the other, no faster than the pace."""

import json
import math
from collections.abc import Callable
from dataclasses import dataclass, field

from payments.application.gateway_rate_limiter import GatewayRateLimiter
from payments.domain.payment import PAYMENT_ID
from payments.domain.statuses import OPEN
from payments.ports.batch_breaker_store import BreakerStore
from payments.ports.payment_store import PaymentStore, require
from payments.ports.workflow import Workflow

LONGEST_BACKLOG_SECONDS = 0.6
"""How far ahead of time slots may be taken before the batch lane stops: what a payment over REST waits at most."""
BACKPRESSURE = 0.06
"""The share of the backlog that each message takes longer. So dispatch slows down by and by, and comes to rest where it
starts as many as there are slots left; going at full speed until it must stop, it would leave slots unused after it."""
QUIET_SECONDS = 30.0
"""After so long without a request to the gateway nobody knows whether it takes any: the first payment goes alone."""
LONGEST_PROBE_SECONDS = 20.0
"""How long a dispatcher waits for that first one to reach the gateway: a cold start of each step, with time to spare.
It may never get there, as the rules may reject it; the others must not wait for good."""
LOOK_SECONDS = 0.1


class MalformedMessage(ValueError):
    """A queue message without a payment_id. It can never be dispatched."""


class BatchesPaused(Exception):
    """The batch lane is paused. The message goes back to the queue."""


@dataclass
class Dispatcher:
    """`interval_seconds` is what each message takes at least; `monotonic` and `sleep` are those of `time`.

    The pace of all dispatchers together is the gateway's whole rate, a little more than there are slots. They see the
    backlog that this makes, or payments over REST make, and give way to it.

    A gateway that refuses all should meet a handful of payments, not a hundred. So the lane's switch is looked at
    before each message, nothing is started for some seconds after a refusal, and after a quiet time each dispatcher
    goes on only when the first payments have got to the gateway.
    """

    payments: PaymentStore
    workflow: Workflow
    breaker: BreakerStore
    rate_limiter: GatewayRateLimiter
    interval_seconds: float
    monotonic: Callable[[], float]
    sleep: Callable[[float], None]
    _last_start: float = field(default=-math.inf, init=False)

    def dispatch(self, body: str) -> str:
        """Start the payment a message names; gives its id. A payment with an outcome is not started again.

        Raises BatchesPaused, MalformedMessage, and LookupError if the payment is not stored.
        """
        started_at = self.monotonic()
        self._check_breaker()
        payment = require(self.payments, payment_id_in(body))
        takes_seconds = self.interval_seconds
        if payment.status in OPEN:
            while (backlog := self.rate_limiter.backlog_seconds()) > LONGEST_BACKLOG_SECONDS:
                self.sleep(backlog - LONGEST_BACKLOG_SECONDS + self.rate_limiter.slot.total_seconds())
            self._start(payment.payment_id)
            takes_seconds += backlog * BACKPRESSURE
        self.sleep(max(0.0, takes_seconds - (self.monotonic() - started_at)))
        return payment.payment_id

    def _check_breaker(self) -> None:
        while not (state := self.breaker.state()).paused and state.cooling_down(self.rate_limiter.clock()):
            self.sleep(LOOK_SECONDS)
        if state.paused:
            self.sleep(self.interval_seconds)  # turning messages away is nothing to hurry through the whole queue for
            raise BatchesPaused(f"the lane is paused since {state.since}: {state.reason}")

    def _start(self, payment_id: str) -> None:
        now = self.monotonic()
        probes = now - self._last_start > QUIET_SECONDS and self.rate_limiter.idle_seconds() > QUIET_SECONDS
        self.workflow.start(payment_id)
        self._last_start = now
        while probes and self.rate_limiter.idle_seconds() > self.monotonic() - now < LONGEST_PROBE_SECONDS:
            self.sleep(LOOK_SECONDS)


def payment_id_in(body: str) -> str:
    """The payment_id of a message. Raises MalformedMessage without repeating what the message holds."""
    try:
        payment_id = json.loads(body)["payment_id"]
    except (ValueError, TypeError, KeyError, RecursionError):
        raise MalformedMessage("the message is not a JSON object with a payment_id") from None
    if not isinstance(payment_id, str) or not PAYMENT_ID.fullmatch(payment_id):
        raise MalformedMessage("the message's payment_id is not one")
    return payment_id
