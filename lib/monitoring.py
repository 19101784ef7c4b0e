"""Alarms and the dashboard. Every alarm tells the alarms topic, and docs/runbooks.md has an entry under its name."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from lib.api import PaymentApi
from lib.aws import CloudwatchDashboard, CloudwatchMetricAlarm, CloudwatchMetricAlarmMetricQuery, Construct
from lib.batch import PaymentQueue
from lib.functions import Function
from lib.notifications import Notifications
from lib.settings import Settings
from lib.workflow import Workflow
from payments.observability.metrics import (
    BATCHES_PAUSED,
    CONTRADICTING_EVENTS,
    ENTRANCES,
    GATEWAY_MISCONFIGURED,
    NAMESPACE,
    OUTCOMES,
    PAYMENT_LATENCY,
    PAYMENTS_ACCEPTED,
    PAYMENTS_IN_REVIEW,
    PAYMENTS_OVERDUE,
    STEP_LATENCY,
    STEPS,
    SUSPICIOUS_DECLINES,
)


@dataclass(frozen=True)
class Metric:
    """A CloudWatch metric with the statistic that is looked at."""

    namespace: str
    name: str
    dimensions: dict[str, str]
    statistic: str = "Sum"


@dataclass(frozen=True)
class Alarm:
    """Rings when the sum of `metrics` reaches `threshold` within `period_seconds`.

    One that `rings_in_silence` rings when the sum stays below it, or when nothing is measured any more. Before the
    first measurement it is quiet: a new environment gives no alarm.
    """

    name: str
    meaning: str
    threshold: int
    period_seconds: int
    metrics: list[Metric] = field(default_factory=list)
    runbook: str = ""
    """The heading in docs/runbooks.md, where it is not the alarm's own name."""
    rings_in_silence: bool = False


@dataclass(frozen=True)
class Graph:
    """What the dashboard shows beside the alarms' own metrics, by the minute."""

    title: str
    metrics: list[Metric]


OLDEST_MESSAGE_SECONDS = 15 * 60
_PERCENTILES = ("p50", "p95", "p99")
_WIDTH = 24
"""Of a dashboard, in CloudWatch's units."""
_HEIGHT = 6


def alarms(
    settings: Settings, functions: Sequence[Function], queue: PaymentQueue, workflow: Workflow, api: PaymentApi
) -> list[Alarm]:
    """The one table of alarms."""
    queued = {"QueueName": queue.queue.name}

    def ours(name: str) -> Metric:
        return Metric(NAMESPACE, name, {"service": settings.environment_suffix})

    return [
        *(
            Alarm(
                f"{function.label}-errors",
                f"the {function.label} function failed 5 times in 10 minutes",
                5,
                600,
                [Metric("AWS/Lambda", "Errors", {"FunctionName": function.name})],
                runbook="function-errors",
            )
            for function in functions
        ),
        Alarm(
            "dead-letters",
            "a payment message could not be processed and waits in the dead-letter queue",
            1,
            60,
            [
                Metric(
                    "AWS/SQS",
                    "ApproximateNumberOfMessagesVisible",
                    {"QueueName": queue.dead_letters.name},
                    statistic="Maximum",
                )
            ],
        ),
        Alarm(
            "api-5xx",
            "the API failed 10 requests in 10 minutes",
            10,
            600,
            [
                Metric(
                    "AWS/ApiGateway",
                    "5XXError",
                    {"ApiName": api.rest_api.name, "Stage": settings.environment_suffix},
                )
            ],
        ),
        Alarm(
            "workflow-failures",
            "a payment's workflow ended without recording its outcome",
            1,
            300,
            [
                Metric("AWS/States", f"Executions{outcome}", {"StateMachineArn": workflow.arn})
                for outcome in ("Failed", "TimedOut", "Aborted")
            ],
        ),
        Alarm(
            "oldest-queued-payment",
            "a queued payment waits for more than 15 minutes: dispatch is stuck or the pace too low for the load",
            OLDEST_MESSAGE_SECONDS,
            60,
            [Metric("AWS/SQS", "ApproximateAgeOfOldestMessage", queued, statistic="Maximum")],
        ),
        Alarm(
            "gateway-misconfigured",
            "the gateway refuses our key or account: no payment gets through until a person mends it, and after the "
            "first few the batch lane pauses; it rings until the lane is open again",
            1,
            120,
            [ours(GATEWAY_MISCONFIGURED), ours(BATCHES_PAUSED)],
        ),
        Alarm(
            "sweeper-silent",
            "the sweeper has not run for 10 minutes: what is left behind is not taken up, and nobody is told",
            1,
            600,
            [Metric("AWS/Lambda", "Invocations", {"FunctionName": settings.name("payment-sweep")})],
            rings_in_silence=True,
        ),
        Alarm(
            "payments-overdue",
            "payments are open for too long: their outcome is unknown, or nobody takes them up",
            1,
            120,
            [ours(PAYMENTS_OVERDUE)],
        ),
        Alarm(
            "payments-in-review",
            "payments are held for a person: the gateway reports other money than we asked for",
            1,
            120,
            [ours(PAYMENTS_IN_REVIEW)],
        ),
        Alarm(
            "gateway-contradicts",
            "the gateway tells of money for a payment that we say was not charged",
            1,
            60,
            [ours(CONTRADICTING_EVENTS)],
        ),
        Alarm(
            "suspicious-declines",
            "10 cards in 10 minutes were declined as lost, stolen or used too often: perhaps somebody tests cards",
            10,
            600,
            [ours(SUSPICIOUS_DECLINES)],
        ),
    ]


def graphs(settings: Settings, api: PaymentApi) -> list[Graph]:
    """How payments fare: the dashboard's first row."""
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
            "API requests",
            [Metric("AWS/ApiGateway", name, of_api) for name in ("Count", "4XXError", "5XXError")],
        ),
    ]


class Monitoring(Construct):
    """Makes the alarms and the dashboard."""

    def __init__(
        self,
        scope: Construct,
        settings: Settings,
        notifications: Notifications,
        *,
        functions: Sequence[Function],
        queue: PaymentQueue,
        workflow: Workflow,
        api: PaymentApi,
    ) -> None:
        super().__init__(scope, "monitoring")
        self.alarms = alarms(settings, functions, queue, workflow, api)
        topic = [notifications.alarms.arn]
        for alarm in self.alarms:
            CloudwatchMetricAlarm(
                self,
                alarm.name,
                alarm_name=settings.name(f"payment-{alarm.name}"),
                alarm_description=f"{alarm.meaning}. What to do: docs/runbooks.md#{alarm.runbook or alarm.name}",
                comparison_operator="LessThanThreshold" if alarm.rings_in_silence else "GreaterThanOrEqualToThreshold",
                threshold=alarm.threshold,
                evaluation_periods=1,
                treat_missing_data="missing" if alarm.rings_in_silence else "notBreaching",
                alarm_actions=topic,
                ok_actions=topic,
                insufficient_data_actions=topic if alarm.rings_in_silence else None,
                **_measured(alarm),
            )
        CloudwatchDashboard(
            self,
            "dashboard",
            dashboard_name=settings.name("payments"),
            dashboard_body=json.dumps({"widgets": _widgets(settings, graphs(settings, api), self.alarms)}),
        )


def _measured(alarm: Alarm) -> dict[str, Any]:
    """One metric as it is; several as their sum."""
    if len(alarm.metrics) == 1:
        metric = alarm.metrics[0]
        return {
            "namespace": metric.namespace,
            "metric_name": metric.name,
            "dimensions": metric.dimensions,
            "statistic": metric.statistic,
            "period": alarm.period_seconds,
        }
    queries = [
        CloudwatchMetricAlarmMetricQuery(
            id=f"m{position}",
            metric={
                "namespace": metric.namespace,
                "metric_name": metric.name,
                "dimensions": metric.dimensions,
                "stat": metric.statistic,
                "period": alarm.period_seconds,
            },
        )
        for position, metric in enumerate(alarm.metrics)
    ]
    total = " + ".join(f"FILL(m{position}, 0)" for position in range(len(alarm.metrics)))
    in_sum = CloudwatchMetricAlarmMetricQuery(id="total", expression=total, label=alarm.name, return_data=True)
    return {"metric_query": [*queries, in_sum]}


def _widgets(settings: Settings, first_row: Sequence[Graph], table: Sequence[Alarm]) -> list[dict[str, Any]]:
    """The first row, and below it one graph for each alarm's metrics, three in a row."""

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
