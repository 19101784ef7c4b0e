"""Embedded metric format: a JSON log line with `_aws.CloudWatchMetrics` becomes CloudWatch metrics.

MiniStack ignores these lines.
https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html

Probe: `embedded_metrics` in tests/local/ministack/test_upstream.py.
"""

import json
from typing import Any

from ministack.services import cloudwatch, lambda_svc

from local.ministack.fixes.patching import wrap


def apply() -> None:
    wrap(lambda_svc, "_emit_lambda_logs", _publish_metrics)


def _publish_metrics(emit: Any, function: Any, request_id: str, log_text: str, *args: Any, **kwargs: Any) -> None:
    emit(function, request_id, log_text, *args, **kwargs)
    for line in log_text.splitlines():
        if line.startswith("{") and '"_aws"' in line:
            _publish(line)


def _publish(line: str) -> None:
    try:
        values = json.loads(line)
        directives = values["_aws"]["CloudWatchMetrics"]
    except (ValueError, KeyError, TypeError):
        return  # an ordinary log line, as on AWS
    for directive in directives:
        for names in directive.get("Dimensions") or [[]]:
            dimensions = {name: str(values[name]) for name in names}
            for metric in directive["Metrics"]:
                _record(directive["Namespace"], metric, values[metric["Name"]], dimensions)


def _record(namespace: str, metric: dict[str, Any], value: Any, dimensions: dict[str, str]) -> None:
    for number in value if isinstance(value, list) else [value]:
        cloudwatch.record_metric(namespace, metric["Name"], number, metric.get("Unit", "None"), dimensions)
