"""The dashboard: how payments proceed, and below that the metrics of every alarm."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from lib.bindings import CloudwatchDashboard, Construct
from lib.features.rest_api import RestApi
from lib.monitoring.alarms import Alarm, Metric
from lib.settings import Settings
from payments.domain.due import Kind
from payments.observability.metrics import (
    ENTRANCES,
    NAMESPACE,
    OUTCOMES,
    PAYMENT_LATENCY,
    PAYMENTS_ACCEPTED,
    RECOVERY_BACKLOG,
    STEP_LATENCY,
    STEPS,
)

_PERCENTILES = ("p50", "p95", "p99")
_WIDTH = 24
"""The width of a dashboard, in CloudWatch's units."""
_HEIGHT = 6


@dataclass(frozen=True)
class Graph:
    """A graph in steps of one minute, in addition to the graphs of the alarms' metrics."""

    title: str
    metrics: list[Metric]


def create_dashboard(scope: Construct, settings: Settings, api: RestApi, alarms: Sequence[Alarm]) -> None:
    """Create the dashboard of one environment."""
    widgets = _widgets(settings, graphs(settings, api), alarms)
    CloudwatchDashboard(
        scope,
        "dashboard",
        dashboard_name=settings.name("payments"),
        dashboard_body=json.dumps({"widgets": widgets}),
    )


def graphs(settings: Settings, api: RestApi) -> list[Graph]:
    """The dashboard's first row: how payments proceed."""
    of_api = {"ApiName": api.rest_api.name, "Stage": settings.environment_suffix}

    def ours(name: str, step: str, statistic: str = "Sum") -> Metric:
        return Metric(NAMESPACE, name, {"service": settings.environment_suffix, "step": step}, statistic)

    return [
        Graph(
            "payments by outcome",
            [
                *(ours(PAYMENTS_ACCEPTED, entrance) for entrance in ENTRANCES),
                *(ours(name, "record") for name in OUTCOMES.values()),
            ],
        ),
        Graph(
            "milliseconds a step",
            [ours(STEP_LATENCY, step, percentile) for step in STEPS for percentile in _PERCENTILES],
        ),
        Graph(
            "milliseconds from accepted to outcome",
            [ours(PAYMENT_LATENCY, "record", percentile) for percentile in _PERCENTILES],
        ),
        Graph(
            "due for recovery, by kind",
            [
                Metric(NAMESPACE, name, {"service": settings.environment_suffix, "kind": kind}, "Maximum")
                for kind in Kind
                for name in RECOVERY_BACKLOG
            ],
        ),
        Graph(
            "API requests",
            [Metric("AWS/ApiGateway", name, of_api) for name in ("Count", "4XXError", "5XXError")],
        ),
    ]


def _widgets(settings: Settings, first_row: Sequence[Graph], table: Sequence[Alarm]) -> list[dict[str, Any]]:
    """The first row, and below it one graph for each alarm, three in a row."""

    def widget(x: int, y: int, width: int, title: str, seconds: int, metrics: list[Metric]) -> dict[str, Any]:
        return {
            "type": "metric",
            "x": x,
            "y": y,
            "width": width,
            "height": _HEIGHT,
            "properties": {
                "title": title,
                "region": settings.aws_region,
                "period": seconds,
                "metrics": [
                    [metric.namespace, metric.name, *sum(metric.dimensions.items(), ()), {"stat": metric.statistic}]
                    for metric in metrics
                ],
            },
        }

    width = _WIDTH // len(first_row)
    widgets = [widget(place * width, 0, width, graph.title, 60, graph.metrics) for place, graph in enumerate(first_row)]
    for place, alarm in enumerate(table):
        of_alarm = widget(place % 3 * 8, (1 + place // 3) * _HEIGHT, 8, alarm.name, alarm.period_seconds, alarm.metrics)
        of_alarm["properties"]["annotations"] = {"horizontal": [{"label": "alarm", "value": alarm.threshold}]}
        widgets.append(of_alarm)
    return widgets
