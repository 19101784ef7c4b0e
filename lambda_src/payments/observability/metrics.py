"""The payment metrics of the alarms and the dashboard, in CloudWatch's embedded metric format: lines in the log."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from functools import cache
from typing import Final

from aws_lambda_powertools import Metrics
from aws_lambda_powertools.metrics import EphemeralMetrics, MetricUnit

from payments.config import setting
from payments.domain.clock import parse_iso
from payments.domain.due import Backlog, Kind
from payments.domain.fraud_hold import is_held
from payments.domain.payment import Payment
from payments.domain.statuses import CAPTURED, Status

NAMESPACE = "Payments"
STEPS = ("validate", "charge", "record", "audit", "refund")
"""Values of the dimension `step` for STEP_LATENCY. `api` and `split` count accepted payments under their own names."""
ENTRANCES = ("api", "split")

# Metrics with an alarm
GATEWAY_MISCONFIGURED = "GatewayMisconfigured"
"""A gateway call that was rejected because of our key or account."""
GATEWAY_UNREACHABLE = "GatewayUnreachable"
"""A call to the gateway that failed like those before it, and 1 at each recovery run while an outage pauses the
breaker."""
BATCHES_PAUSED = "LanePaused"
"""1 at each recovery run while a rejected key or account pauses the breaker."""
PAUSED_BY_OPERATOR = "BatchesPausedByOperator"
"""1 at each recovery run while an operator pauses all batches."""
BATCHES_HELD = "BatchesHeld"
"""Batches that recovery found paused for hours."""
PAYMENTS_OVERDUE = "PaymentsOverdue"
"""Payments that recovery found open for too long."""
PAYMENTS_IN_REVIEW = "PaymentsInReview"
"""Payments held for an operator, counted by recovery and by the record step."""
PAYMENTS_HELD = "PaymentsHeld"
"""Payments that a fraud rule began to hold, each once, by the record step. By the dimensions `service` and `step`."""
CHARGES_DIFFER = "ChargesDiffer"
"""Answers of the gateway that differ from what was requested: another amount or currency, or other content."""
SEVERAL_CHARGES_FOUND = "SeveralCharges"
"""Answers of the gateway with several captured charges of one payment."""
CONTRADICTING_EVENTS = "ContradictingEvents"
"""Gateway events about money for a payment that is recorded as not charged."""
GATEWAY_EVENTS_REFUSED = "GatewayEventsRefused"
"""Requests to the webhook that stored no event: a wrong signature, not an event, or an error of ours."""
BATCHES_STUCK = "BatchesStuck"
"""Batches that recovery found without progress for too long."""
REFUNDS_TO_LOOK_AT = "RefundsToLookAt"
"""Refunds that recovery found on the operators' list: they failed late, or have had no answer for too long."""
SUSPICIOUS_DECLINES = "SuspiciousDeclines"
"""Declines of lost, stolen or otherwise suspicious cards."""
BACKUPS_VERIFIED = "BackupsVerified"
"""Backups that are complete and verify."""
BACKUPS_UNVERIFIABLE = "BackupsUnverifiable"
"""Backups of which a part is missing or changed, or that lack a table."""
BACKUPS_SHORT = "BackupsShort"
"""Backups with fewer rows of a table than the one before, although rows of that table never go."""
ANCHORS_WRITTEN = "AnchorsWritten"
"""Anchors of the audit log that were written."""
AUDIT_BROKEN = "AuditBroken"
"""Heads of audit chains, and anchors, that were not extended because they are not as they were signed."""
GATEWAY_BACKLOG_SECONDS: Final = "GatewayBacklogSeconds"
"""How long the last ticket has to wait: the backlog of REST payments. By the dimensions `service` and `step`."""

# Metrics of the dashboard, by the dimensions `service` and `step`
PAYMENTS_ACCEPTED: Final = "PaymentsAccepted"
"""Payments stored for the first time, over REST or from a file."""
OUTCOMES: Final = {
    Status.SUCCEEDED: "PaymentsSucceeded",
    Status.DECLINED: "PaymentsDeclined",
    Status.REJECTED: "PaymentsRejected",
    Status.FAILED: "PaymentsFailed",
    Status.UNKNOWN: "PaymentsUnknown",
}
"""Status → the metric of payments that moved to it. An unknown payment counts again under its final status."""
STEP_LATENCY: Final = "StepLatency"
"""Milliseconds of one run of a step, including the gateway's time and the wait for a slot."""
PAYMENT_LATENCY: Final = "PaymentLatency"
"""Milliseconds from acceptance to the outcome. An unknown payment has none yet."""


# Metrics of recovery, by the dimensions `service` and `kind` (of waiting work)
RECOVERY_BACKLOG: Final = ("RecoveryDue", "RecoveryOverdue", "RecoveryOldestSeconds")
"""The rows that recovery must look at when a run begins; the ones of them that earlier runs should have looked at; for
how long the oldest one has been due."""


@cache
def _metrics() -> Metrics:
    return Metrics(namespace=NAMESPACE, service=setting("ENVIRONMENT_SUFFIX"))


def count(metric: str, value: int = 1, *, step: str = "") -> None:
    """Count `metric` for this environment. It is printed at once: a later failure of the function loses nothing."""
    note(metric, value)
    _print(step)


def note(metric: str, value: int = 1) -> None:
    """Count `metric` on the line of the step's latency."""
    _metrics().add_metric(name=metric, unit=MetricUnit.Count, value=value)


def count_backlog(kind: Kind, backlog: Backlog, now: datetime) -> None:
    """Print what is due of a kind of waiting work, on a line without the metrics noted so far."""
    metrics = EphemeralMetrics(namespace=NAMESPACE, service=setting("ENVIRONMENT_SUFFIX"))
    due, overdue, oldest = RECOVERY_BACKLOG
    seconds = (now - parse_iso(backlog.oldest)) // timedelta(seconds=1)
    metrics.add_dimension(name="kind", value=kind)
    metrics.add_metric(name=due, unit=MetricUnit.Count, value=backlog.due)
    metrics.add_metric(name=overdue, unit=MetricUnit.Count, value=backlog.overdue)
    metrics.add_metric(name=oldest, unit=MetricUnit.Seconds, value=seconds)
    metrics.flush_metrics()


def note_backlog(seconds: int) -> None:
    """Note the wait of a ticket on the line of the step's latency."""
    _metrics().add_metric(name=GATEWAY_BACKLOG_SECONDS, unit=MetricUnit.Seconds, value=seconds)


def note_outcome(payment: Payment) -> None:
    """Count a moved row by its new status.

    Called once for each stored version. A function that fails between storing and printing counts one too few, and
    its retry finds nothing to store. The table is exact; these metrics are for graphs.
    """
    if is_held(payment):
        note(PAYMENTS_HELD)
    captured_before = any(change.status in CAPTURED for change in payment.history[:-1])  # a won dispute
    if payment.status not in OUTCOMES or captured_before:
        return
    note(OUTCOMES[payment.status])
    if payment.status is not Status.UNKNOWN:
        took = parse_iso(payment.updated_at) - parse_iso(payment.created_at)
        _metrics().add_metric(
            name=PAYMENT_LATENCY, unit=MetricUnit.Milliseconds, value=took // timedelta(milliseconds=1)
        )


def count_canceled(payments: int = 1) -> None:
    """Count canceled payments as the record step counts outcomes: the graphs show them together."""
    if payments:
        count(OUTCOMES[Status.REJECTED], payments, step="record")


@contextmanager
def timed(step: str, monotonic: Callable[[], float] = time.monotonic) -> Iterator[None]:
    """Measure one run of a step, even if it raises, and print it with the metrics noted meanwhile in one line."""
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
