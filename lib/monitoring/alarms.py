"""The alarms. Each notifies the alarms topic, and docs/runbooks.md has an entry under its name."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from lib.bindings import CloudwatchMetricAlarm, CloudwatchMetricAlarmMetricQuery, Construct
from lib.features.batch_queue import PaymentQueue
from lib.features.rest_api import RestApi
from lib.features.workflow import Workflow
from lib.foundation.functions import Function
from lib.foundation.notifications import Notifications
from lib.settings import Settings
from payments.domain.statuses import Status
from payments.observability.metrics import (
    ANCHORS_WRITTEN,
    AUDIT_BROKEN,
    BACKUPS_SHORT,
    BACKUPS_UNVERIFIABLE,
    BACKUPS_VERIFIED,
    BATCHES_HELD,
    BATCHES_PAUSED,
    BATCHES_STUCK,
    CHARGES_DIFFER,
    CONTRADICTING_EVENTS,
    GATEWAY_BACKLOG_SECONDS,
    GATEWAY_EVENTS_REFUSED,
    GATEWAY_MISCONFIGURED,
    GATEWAY_UNREACHABLE,
    NAMESPACE,
    OUTCOMES,
    PAUSED_BY_OPERATOR,
    PAYMENTS_HELD,
    PAYMENTS_IN_REVIEW,
    PAYMENTS_OVERDUE,
    REFUNDS_TO_LOOK_AT,
    SEVERAL_CHARGES_FOUND,
    SUSPICIOUS_DECLINES,
)


@dataclass(frozen=True)
class Metric:
    """A CloudWatch metric with its statistic."""

    namespace: str
    name: str
    dimensions: dict[str, str]
    statistic: str = "Sum"


@dataclass(frozen=True)
class Alarm:
    """Fires when the sum of `metrics` reaches `threshold` within `period_seconds`, in each of `periods`.

    An alarm with `fires_on_silence` fires when the sum stays below the threshold, or when measurements stop. It does
    not fire before the first measurement, so that a new environment raises no alarm.
    """

    name: str
    meaning: str
    threshold: int
    period_seconds: int
    metrics: list[Metric] = field(default_factory=list)
    expression: str = ""
    """What is compared with the threshold instead of the sum: metric math on `m0`, `m1` and so on."""
    periods: int = 1
    runbook: str = ""
    """The heading in docs/runbooks.md, if it differs from the alarm's name."""
    fires_on_silence: bool = False


OLDEST_MESSAGE_SECONDS = 15 * 60
DAY_SECONDS = 24 * 60 * 60


def alarms(
    settings: Settings, functions: Sequence[Function], queue: PaymentQueue, workflow: Workflow, api: RestApi
) -> list[Alarm]:
    """The one table of alarms."""
    queued = {"QueueName": queue.queue.name}

    def ours(name: str) -> Metric:
        return Metric(NAMESPACE, name, {"service": settings.environment_suffix})

    def in_record(name: str) -> Metric:
        return Metric(NAMESPACE, name, {"service": settings.environment_suffix, "step": "record"})

    return [
        *(
            Alarm(
                f"{function.label}-errors",
                f"the {function.label} function failed {_errors(function)} times in 10 minutes",
                _errors(function),
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
            "a queued payment waits for more than 15 minutes: dispatch is stuck, or its rate is too low for the load",
            OLDEST_MESSAGE_SECONDS,
            60,
            [Metric("AWS/SQS", "ApproximateAgeOfOldestMessage", queued, statistic="Maximum")],
        ),
        Alarm(
            "gateway-misconfigured",
            "the gateway rejects our key or account: no payment succeeds until an operator corrects it. After the "
            "first few rejections the batch breaker pauses batches; the alarm clears when batches run again",
            1,
            120,
            [ours(GATEWAY_MISCONFIGURED), ours(BATCHES_PAUSED)],
        ),
        Alarm(
            "gateway-unreachable",
            "the gateway is out of reach, or fails for every payment: payments wait as pending, over REST and in "
            "batches, until a probe payment gets through; the alarm clears then",
            1,
            120,
            [ours(GATEWAY_UNREACHABLE)],
        ),
        Alarm(
            "batches-paused",
            "an operator has paused all batches: their payments wait until payctl breaker resume",
            1,
            120,
            [ours(PAUSED_BY_OPERATOR)],
        ),
        Alarm(
            "batch-held",
            "a batch has been paused for four hours or longer: its payments wait until payctl batch resume or cancel",
            1,
            600,
            [ours(BATCHES_HELD)],
        ),
        Alarm(
            "gateway-backlog",
            "more REST payments arrive than the gateway's rate allows: the newest waits for half of the limit at which "
            "new ones get 429",
            settings.backlog_limit_seconds // 2,
            60,
            [
                Metric(
                    NAMESPACE,
                    GATEWAY_BACKLOG_SECONDS,
                    {"service": settings.environment_suffix, "step": "charge"},
                    statistic="Maximum",
                )
            ],
        ),
        Alarm(
            "sweeper-silent",
            "recovery has not run for 10 minutes: payments that stopped are not restarted, and alarms stay silent",
            1,
            600,
            [Metric("AWS/Lambda", "Invocations", {"FunctionName": settings.name("payment-sweep")})],
            fires_on_silence=True,
        ),
        Alarm(
            "payments-overdue",
            "payments are open for too long: their outcome is unknown, or recovery does not restart them",
            1,
            120,
            [ours(PAYMENTS_OVERDUE)],
        ),
        Alarm(
            "payments-in-review",
            "payments are held for an operator, by a fraud rule or because the gateway's answer differs; each new case "
            "has an alarm of its own as well. This one clears when no payment is held",
            1,
            120,
            [ours(PAYMENTS_IN_REVIEW)],
        ),
        Alarm(
            "payments-held",
            "a fraud rule held another payment: this can be card testing",
            1,
            120,
            [in_record(PAYMENTS_HELD)],
            runbook="payments-in-review",
        ),
        Alarm(
            "charges-differ",
            "the gateway reports another amount, currency or content than we requested for a payment",
            1,
            120,
            [ours(CHARGES_DIFFER)],
            runbook="payments-in-review",
        ),
        Alarm(
            "several-charges",
            "the gateway captured several charges of one payment",
            1,
            120,
            [ours(SEVERAL_CHARGES_FOUND)],
            runbook="payments-in-review",
        ),
        Alarm(
            "payments-failed",
            "payments ended `failed`: nothing was charged, and nothing is tried again",
            1,
            300,
            [in_record(OUTCOMES[Status.FAILED])],
        ),
        Alarm(
            "gateway-events-missing",
            "payments succeeded for half an hour and the gateway sent no event that could be stored: refunds, disputes "
            "and 3-D Secure are noticed late",
            1,
            900,
            [
                in_record(OUTCOMES[Status.SUCCEEDED]),
                Metric("AWS/Lambda", "Invocations", {"FunctionName": settings.name("payment-webhook")}),
                ours(GATEWAY_EVENTS_REFUSED),
            ],
            expression="IF(FILL(m0, 0) > 0 AND FILL(m1, 0) - FILL(m2, 0) <= 0, 1, 0)",
            periods=2,  # an event may come shortly after the end of its payment's period
        ),
        Alarm(
            "gateway-contradicts",
            "the gateway reports money for a payment that we report as not charged",
            1,
            60,
            [ours(CONTRADICTING_EVENTS)],
        ),
        Alarm(
            "batches-stuck",
            "a batch has made no progress for an hour, although batches are not paused: its file is not read, its "
            "payments have no outcome, or its report fails",
            1,
            600,
            [ours(BATCHES_STUCK)],
        ),
        Alarm(
            "refunds-need-attention",
            "refunds failed after they had succeeded, or have had no answer for an hour: their payers wait for money",
            1,
            120,
            [ours(REFUNDS_TO_LOOK_AT)],
        ),
        Alarm(
            "suspicious-declines",
            "10 cards in 10 minutes were declined as lost, stolen or used too often: this can be card testing",
            10,
            600,
            [ours(SUSPICIOUS_DECLINES)],
        ),
        Alarm(
            "backup-late",
            "no backup was completed and verified in its time: what happens from now on could not be restored",
            1,
            DAY_SECONDS,
            [ours(BACKUPS_VERIFIED)],
            # the day after the one in which the next backup ends, so that a slower backup raises no alarm
            periods=math.ceil(settings.effective.backup_every_hours / 24) + 1,
            fires_on_silence=True,
        ),
        Alarm(
            "backup-short",
            "a backup has fewer rows of a table than the one before, although rows of that table never go",
            1,
            300,
            [ours(BACKUPS_SHORT)],
        ),
        Alarm(
            "backup-unverifiable",
            "a backup cannot be restored as it is: a part is missing or changed, or a table is not in it",
            1,
            300,
            [ours(BACKUPS_UNVERIFIABLE)],
        ),
        Alarm(
            "anchor-late",
            "no anchor of the audit log was written for three hours: a change of payment and audit log back to a state "
            "since the last one could not be seen",
            1,
            3600,
            [ours(ANCHORS_WRITTEN)],
            periods=3,
            fires_on_silence=True,
        ),
        Alarm(
            "audit-broken",
            "the head of an audit chain, or the last anchor, is not one that was signed: somebody changed it. The "
            "payment's audit entries are not written until an operator has decided",
            1,
            300,
            [ours(AUDIT_BROKEN)],
        ),
    ]


def _errors(function: Function) -> int:
    """How many errors fire the alarm. Backup and anchor run rarely, and Lambda repeats them twice."""
    return 2 if function.label in ("backup", "anchor") else 5


def create_alarms(scope: Construct, settings: Settings, notifications: Notifications, table: Sequence[Alarm]) -> None:
    """Create the alarms of the table."""
    topic = [notifications.alarms.arn]
    for alarm in table:
        CloudwatchMetricAlarm(
            scope,
            alarm.name,
            alarm_name=settings.name(f"payment-{alarm.name}"),
            alarm_description=f"{alarm.meaning}. What to do: docs/runbooks.md#{alarm.runbook or alarm.name}",
            comparison_operator="LessThanThreshold" if alarm.fires_on_silence else "GreaterThanOrEqualToThreshold",
            threshold=alarm.threshold,
            evaluation_periods=alarm.periods,
            treat_missing_data="missing" if alarm.fires_on_silence else "notBreaching",
            alarm_actions=topic,
            ok_actions=topic,
            insufficient_data_actions=topic if alarm.fires_on_silence else None,
            **_measured(alarm),
        )


def _measured(alarm: Alarm) -> dict[str, Any]:
    """The arguments for one metric, or for the sum or expression of several."""
    if len(alarm.metrics) == 1 and not alarm.expression:
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
    compared = CloudwatchMetricAlarmMetricQuery(
        id="total", expression=alarm.expression or total, label=alarm.name, return_data=True
    )
    return {"metric_query": [*queries, compared]}
