"""The payment metrics that alarms and the dashboard read, in CloudWatch's embedded format."""

from functools import cache

from aws_lambda_powertools import Metrics
from aws_lambda_powertools.metrics import MetricUnit

from payments.config import setting

NAMESPACE = "Payments"
GATEWAY_MISCONFIGURED = "GatewayMisconfigured"
"""A call that the gateway refused whatever the payment."""
LANE_PAUSED = "LanePaused"
"""1 at each sweep while the batch lane is paused."""
PAYMENTS_OVERDUE = "PaymentsOverdue"
"""Payments that a sweep found open for too long."""
PAYMENTS_IN_REVIEW = "PaymentsInReview"
"""Payments that a sweep, or the record step, found held for a person."""
CONTRADICTING_EVENTS = "ContradictingEvents"
"""Events of the gateway about money for a payment that says it was not charged."""
SUSPICIOUS_DECLINES = "SuspiciousDeclines"
"""Declines of lost, stolen or otherwise suspicious cards."""


@cache
def _metrics() -> Metrics:
    return Metrics(namespace=NAMESPACE, service=setting("ENVIRONMENT_SUFFIX"))


def count(metric: str, value: int = 1) -> None:
    """Count `metric` for this environment. Printed at once: nothing is lost if the function dies after."""
    metrics = _metrics()
    metrics.add_metric(name=metric, unit=MetricUnit.Count, value=value)
    metrics.flush_metrics()
