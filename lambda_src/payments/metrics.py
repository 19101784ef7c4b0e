"""The payment metrics that alarms and the dashboard read, in CloudWatch's embedded format."""

from functools import cache

from aws_lambda_powertools import Metrics
from aws_lambda_powertools.metrics import MetricUnit

from payments.config import setting

NAMESPACE = "Payments"
GATEWAY_MISCONFIGURED = "GatewayMisconfigured"


@cache
def _metrics() -> Metrics:
    return Metrics(namespace=NAMESPACE, service=setting("ENVIRONMENT_SUFFIX"))


def count(metric: str) -> None:
    """Count one of `metric` for this environment. Printed at once: nothing is lost if the function dies after."""
    metrics = _metrics()
    metrics.add_metric(name=metric, unit=MetricUnit.Count, value=1)
    metrics.flush_metrics()
