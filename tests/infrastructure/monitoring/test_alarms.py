"""The alarms: when they fire, whom they notify, and that each has a runbook."""

import re
from dataclasses import dataclass, replace

import pytest

from lib.package import ROOT
from local.ministack.fixes.cloudwatch.metric_math import evaluate
from payments.domain.statuses import Status
from payments.observability import metrics
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
from tests.infrastructure.synth import Resource, Stack, arn


@dataclass(frozen=True)
class Expected:
    """What an alarm must watch: it fires at `threshold` within `seconds`."""

    threshold: int
    seconds: int
    metrics: frozenset[str]
    statistic: str = "Sum"


FUNCTION_ERRORS = Expected(5, 600, frozenset({"AWS/Lambda Errors"}))
OTHERS = {
    "dead-letters": Expected(1, 60, frozenset({"AWS/SQS ApproximateNumberOfMessagesVisible"}), "Maximum"),
    "api-5xx": Expected(10, 600, frozenset({"AWS/ApiGateway 5XXError"})),
    "workflow-failures": Expected(
        1, 300, frozenset(f"AWS/States Executions{end}" for end in ("Failed", "TimedOut", "Aborted"))
    ),
    "oldest-queued-payment": Expected(900, 60, frozenset({"AWS/SQS ApproximateAgeOfOldestMessage"}), "Maximum"),
    # recovery counts these once a minute: two minutes keep the alarm from flapping between two runs
    "gateway-misconfigured": Expected(
        1, 120, frozenset({f"{NAMESPACE} {GATEWAY_MISCONFIGURED}", f"{NAMESPACE} {BATCHES_PAUSED}"})
    ),
    "gateway-unreachable": Expected(1, 120, frozenset({f"{NAMESPACE} {GATEWAY_UNREACHABLE}"})),
    "batches-paused": Expected(1, 120, frozenset({f"{NAMESPACE} {PAUSED_BY_OPERATOR}"})),
    "batch-held": Expected(1, 600, frozenset({f"{NAMESPACE} {BATCHES_HELD}"})),
    "gateway-backlog": Expected(150, 60, frozenset({f"{NAMESPACE} {GATEWAY_BACKLOG_SECONDS}"}), "Maximum"),
    "sweeper-silent": Expected(1, 600, frozenset({"AWS/Lambda Invocations"})),
    "payments-overdue": Expected(1, 120, frozenset({f"{NAMESPACE} {PAYMENTS_OVERDUE}"})),
    "payments-in-review": Expected(1, 120, frozenset({f"{NAMESPACE} {PAYMENTS_IN_REVIEW}"})),
    "payments-held": Expected(1, 120, frozenset({f"{NAMESPACE} {PAYMENTS_HELD}"})),
    "charges-differ": Expected(1, 120, frozenset({f"{NAMESPACE} {CHARGES_DIFFER}"})),
    "several-charges": Expected(1, 120, frozenset({f"{NAMESPACE} {SEVERAL_CHARGES_FOUND}"})),
    "refunds-need-attention": Expected(1, 120, frozenset({f"{NAMESPACE} {REFUNDS_TO_LOOK_AT}"})),
    "payments-failed": Expected(1, 300, frozenset({f"{NAMESPACE} {OUTCOMES[Status.FAILED]}"})),
    "gateway-events-missing": Expected(
        1,
        2 * 900,
        frozenset(
            {
                f"{NAMESPACE} {OUTCOMES[Status.SUCCEEDED]}",
                "AWS/Lambda Invocations",
                f"{NAMESPACE} {GATEWAY_EVENTS_REFUSED}",
            }
        ),
    ),
    "gateway-contradicts": Expected(1, 60, frozenset({f"{NAMESPACE} {CONTRADICTING_EVENTS}"})),
    # a long recovery run looks at a batch once
    "batches-stuck": Expected(1, 600, frozenset({f"{NAMESPACE} {BATCHES_STUCK}"})),
    "suspicious-declines": Expected(10, 600, frozenset({f"{NAMESPACE} {SUSPICIOUS_DECLINES}"})),
    # it runs once a day, and Lambda repeats a failed run twice
    "anchor-errors": Expected(2, 600, frozenset({"AWS/Lambda Errors"})),
    "anchor-late": Expected(1, 3 * 3600, frozenset({f"{NAMESPACE} {ANCHORS_WRITTEN}"})),
    "audit-broken": Expected(1, 300, frozenset({f"{NAMESPACE} {AUDIT_BROKEN}"})),
    "backup-errors": Expected(2, 600, frozenset({"AWS/Lambda Errors"})),
    "backup-late": Expected(1, 2 * 86_400, frozenset({f"{NAMESPACE} {BACKUPS_VERIFIED}"})),
    "backup-short": Expected(1, 300, frozenset({f"{NAMESPACE} {BACKUPS_SHORT}"})),
    "backup-unverifiable": Expected(1, 300, frozenset({f"{NAMESPACE} {BACKUPS_UNVERIFIABLE}"})),
}
OURS = (
    "gateway-misconfigured",
    "gateway-unreachable",
    "batches-paused",
    "batch-held",
    "payments-overdue",
    "payments-in-review",
    "charges-differ",
    "several-charges",
    "gateway-contradicts",
    "batches-stuck",
    "refunds-need-attention",
    "suspicious-declines",
    "backup-late",
    "backup-short",
    "backup-unverifiable",
    "anchor-late",
    "audit-broken",
)
"""The alarms on metrics that our own code counts."""


def _metrics(alarm: Resource) -> list[Resource]:
    """The metrics of an alarm, each with namespace, name, dimensions, statistic and period."""
    if "metric_query" not in alarm:
        return [alarm | {"stat": alarm["statistic"]}]
    return [query["metric"] for query in alarm["metric_query"] if "metric" in query]


def _watched(alarm: Resource) -> Expected:
    metrics = _metrics(alarm)
    (seconds,) = {metric["period"] for metric in metrics}
    (statistic,) = {metric["stat"] for metric in metrics}
    names = frozenset(f"{metric['namespace']} {metric['metric_name']}" for metric in metrics)
    return Expected(alarm["threshold"], seconds * alarm["evaluation_periods"], names, statistic)


def _alarm(stack: Stack, name: str) -> Resource:
    return stack.named("aws_cloudwatch_metric_alarm", f"payment-{name}")[1]


def _labels(stack: Stack) -> list[str]:
    """All functions except the authorizer, which raises to answer 401. If it fails itself, the API answers 500."""
    names = [function["function_name"] for function in stack.all("aws_lambda_function").values()]
    labels = [name.removeprefix("payment-").removesuffix(f"-{stack.suffix}") for name in names]
    return [label for label in labels if label != "authorize"]


def test_alarms_are_exactly_those_expected_with_their_thresholds(stack: Stack) -> None:
    expected = {f"{label}-errors": FUNCTION_ERRORS for label in _labels(stack)} | OTHERS
    watched = {
        alarm["alarm_name"].removeprefix("payment-").removesuffix(f"-{stack.suffix}"): _watched(alarm)
        for alarm in stack.all("aws_cloudwatch_metric_alarm").values()
    }

    if stack.settings.effective.workflow_type == "EXPRESS":  # its executions wait for two minutes at most
        expected["gateway-backlog"] = replace(expected["gateway-backlog"], threshold=60)
    assert watched == expected


def test_alarms_notify_the_alarms_topic_when_they_fire_or_clear(stack: Stack) -> None:
    topic, _ = stack.named("aws_sns_topic", "payment-alarms")

    for alarm in stack.all("aws_cloudwatch_metric_alarm").values():
        assert alarm["alarm_actions"] == alarm["ok_actions"] == [arn(topic)]


def test_missing_data_notifies_only_for_what_runs_on_a_schedule(stack: Stack) -> None:
    topic, _ = stack.named("aws_sns_topic", "payment-alarms")
    silent = [_alarm(stack, name) for name in ("sweeper-silent", "backup-late", "anchor-late")]

    for alarm in silent:
        assert alarm["comparison_operator"] == "LessThanThreshold"
        assert alarm["treat_missing_data"] == "missing"
        assert alarm["insufficient_data_actions"] == [arn(topic)]
    for alarm in stack.all("aws_cloudwatch_metric_alarm").values():
        if alarm not in silent:
            assert alarm["comparison_operator"] == "GreaterThanOrEqualToThreshold"
            assert alarm["treat_missing_data"] == "notBreaching"


def test_each_function_alarm_watches_its_own_function(stack: Stack) -> None:
    for label in _labels(stack):
        assert _alarm(stack, f"{label}-errors")["dimensions"] == {"FunctionName": f"payment-{label}-{stack.suffix}"}


@pytest.mark.parametrize(
    ("alarm", "dimensions"),
    [
        ("dead-letters", {"QueueName": "payment-dead-letter-queue-{suffix}"}),
        ("oldest-queued-payment", {"QueueName": "payment-queue-{suffix}"}),
        ("api-5xx", {"ApiName": "payment-api-{suffix}", "Stage": "{suffix}"}),
        (
            "workflow-failures",
            {"StateMachineArn": "arn:aws:states:us-east-1:123456789012:stateMachine:payment-processor-{suffix}"},
        ),
        ("sweeper-silent", {"FunctionName": "payment-sweep-{suffix}"}),
        ("payments-failed", {"service": "{suffix}", "step": "record"}),
        *((alarm, {"service": "{suffix}"}) for alarm in OURS),
    ],
)
def test_alarm_when_synthesised_then_it_watches_this_environments_own(
    stack: Stack, alarm: str, dimensions: dict[str, str]
) -> None:
    for metric in _metrics(_alarm(stack, alarm)):
        resolved = {name: stack.resolve(value) for name, value in metric["dimensions"].items()}
        assert resolved == {name: value.format(suffix=stack.suffix) for name, value in dimensions.items()}


@pytest.mark.parametrize(
    ("succeeded", "requests", "refused", "missing"),
    [
        (None, None, None, 0),
        (None, 3, None, 0),
        (5, 1, None, 0),
        (5, None, None, 1),
        (5, 3, 3, 1),
        (5, 3, 2, 0),
        (5, None, 1, 1),
    ],
)
def test_events_are_missing_if_payments_succeed_and_none_is_stored(
    stack: Stack, succeeded: float | None, requests: float | None, refused: float | None, missing: float
) -> None:
    *watched, compared = _alarm(stack, "gateway-events-missing")["metric_query"]
    names = [query["metric"]["metric_name"] for query in watched]
    assert names == [OUTCOMES[Status.SUCCEEDED], "Invocations", GATEWAY_EVENTS_REFUSED]
    assert watched[1]["metric"]["dimensions"] == {"FunctionName": f"payment-webhook-{stack.suffix}"}

    values = dict(zip((query["id"] for query in watched), (succeeded, requests, refused), strict=True))
    assert evaluate("total", values, {"total": compared["expression"]}) == missing


@pytest.mark.parametrize("alarm", ["workflow-failures", "gateway-misconfigured"])
def test_alarm_when_it_watches_several_metrics_then_they_are_added_up(stack: Stack, alarm: str) -> None:
    queries = _alarm(stack, alarm)["metric_query"]
    (total,) = [query for query in queries if "expression" in query]

    assert total["return_data"] is True
    assert not any(query.get("return_data") for query in queries if query is not total)
    for query in queries:
        assert query is total or f"FILL({query['id']}, 0)" in total["expression"]


def test_alarm_descriptions_point_at_an_existing_runbook(stack: Stack) -> None:
    headings = re.findall(r"^#+ (.+)$", (ROOT / "docs" / "runbooks.md").read_text(), re.MULTILINE)
    anchors = {re.sub(r"[^\w -]", "", heading).strip().lower().replace(" ", "-") for heading in headings}

    for alarm in stack.all("aws_cloudwatch_metric_alarm").values():
        meaning, runbook, anchor = alarm["alarm_description"].partition(". What to do: docs/runbooks.md#")
        assert meaning
        assert runbook
        assert anchor in anchors, f"docs/runbooks.md has no heading for {anchor}"


def test_every_custom_metric_has_an_alarm_except_the_dashboard_ones(
    stack: Stack,
) -> None:
    names = {value for name, value in vars(metrics).items() if name.isupper() and isinstance(value, str)}
    shown = {metrics.PAYMENTS_ACCEPTED, metrics.STEP_LATENCY, metrics.PAYMENT_LATENCY}  # see test_dashboard
    watched = {
        metric["metric_name"]
        for alarm in stack.all("aws_cloudwatch_metric_alarm").values()
        for metric in _metrics(alarm)
        if metric["namespace"] == NAMESPACE
    }

    assert watched == (names - shown - {NAMESPACE}) | {OUTCOMES[Status.SUCCEEDED], OUTCOMES[Status.FAILED]}
