"""The payment metrics that alarms and the dashboard read, in CloudWatch's embedded format: lines in the log."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import cache
from typing import Final

from aws_lambda_powertools import Metrics
from aws_lambda_powertools.metrics import MetricUnit

from payments.config import setting
from payments.domain.clock import parse_iso
from payments.domain.payment import Payment
from payments.domain.statuses import CAPTURED, Status

NAMESPACE = "Payments"
STEPS = ("validate", "charge", "record", "audit")
"""Values of the dimension `step`, and of that alone; `api` and `split` count what they accept under theirs."""
ENTRANCES = ("api", "split")

# What a person must see to: each has an alarm
GATEWAY_MISCONFIGURED = "GatewayMisconfigured"
"""A call that the gateway refused whatever the payment."""
BATCHES_PAUSED = "LanePaused"
"""1 at each sweep while the batch lane is paused."""
PAYMENTS_OVERDUE = "PaymentsOverdue"
"""Payments that a sweep found open for too long."""
PAYMENTS_IN_REVIEW = "PaymentsInReview"
"""Payments that a sweep, or the record step, found held for a person."""
CONTRADICTING_EVENTS = "ContradictingEvents"
"""Events of the gateway about money for a payment that says it was not charged."""
SUSPICIOUS_DECLINES = "SuspiciousDeclines"
"""Declines of lost, stolen or otherwise suspicious cards."""

# What the dashboard shows, by the dimensions `service` and `step`
PAYMENTS_ACCEPTED: Final = "PaymentsAccepted"
"""Payments stored for the first time, over REST or from a file."""
OUTCOMES: Final = {
    Status.SUCCEEDED: "PaymentsSucceeded",
    Status.DECLINED: "PaymentsDeclined",
    Status.REJECTED: "PaymentsRejected",
    Status.FAILED: "PaymentsFailed",
    Status.UNKNOWN: "PaymentsUnknown",
}
"""Status → payments whose row moved there. One that was unknown counts again under what it turns out to be."""
STEP_LATENCY: Final = "StepLatency"
"""Milliseconds of one run of a step, the gateway's time and the wait for a slot included."""
PAYMENT_LATENCY: Final = "PaymentLatency"
"""Milliseconds from accepted to the outcome; one that is still unknown has none yet."""


@cache
def _metrics() -> Metrics:
    return Metrics(namespace=NAMESPACE, service=setting("ENVIRONMENT_SUFFIX"))


def count(metric: str, value: int = 1, *, step: str = "") -> None:
    """Count `metric` for this environment. Printed at once: nothing is lost if the function dies after."""
    note(metric, value)
    _print(step)


def note(metric: str, value: int = 1) -> None:
    """Count `metric` on the line that the step's latency is printed on."""
    _metrics().add_metric(name=metric, unit=MetricUnit.Count, value=value)


def note_outcome(payment: Payment) -> None:
    """Count a row that moved, by the status it moved to.

    Told of each stored version once. A function that dies between storing and printing counts one too few, and its
    repetition finds nothing to store: the table is the truth, and these are graphs.
    """
    captured_before = any(change.status in CAPTURED for change in payment.history[:-1])  # a dispute that was won
    if payment.status not in OUTCOMES or captured_before:
        return
    note(OUTCOMES[payment.status])
    if payment.status is not Status.UNKNOWN:
        took = parse_iso(payment.updated_at) - parse_iso(payment.created_at)
        _metrics().add_metric(
            name=PAYMENT_LATENCY, unit=MetricUnit.Milliseconds, value=took // timedelta(milliseconds=1)
        )


@contextmanager
def timed(step: str, monotonic: Callable[[], float] = time.monotonic) -> Iterator[None]:
    """Measure one run of a step, also one that raises, and print it with what was noted meanwhile: one line."""
    began_at = monotonic()
    try:
        yield
    finally:
        milliseconds = int((monotonic() - began_at) * 1000)
        _metrics().add_metric(name=STEP_LATENCY, unit=MetricUnit.Milliseconds, value=milliseconds)
        _print(step)


def _print(step: str = "") -> None:
    metrics = _metrics()
    if step:
        metrics.add_dimension(name="step", value=step)
    metrics.flush_metrics()
