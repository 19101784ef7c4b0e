"""The dashboard: the progress of payments on top, and below the metrics of every alarm."""

import json
from typing import Any

import pytest

from payments.observability import metrics
from payments.observability.metrics import NAMESPACE, OUTCOMES, PAYMENT_LATENCY, PAYMENTS_ACCEPTED, STEP_LATENCY
from tests.infrastructure.synth import Stack

PERCENTILES = ["p50", "p95", "p99"]
Widget = dict[str, Any]


@pytest.fixture
def widgets(stack: Stack) -> list[Widget]:
    """The dashboard's graphs."""
    _, dashboard = stack.named("aws_cloudwatch_dashboard", "payments")
    found: list[Widget] = json.loads(stack.resolve(dashboard["dashboard_body"]))["widgets"]
    return found


def graph(widgets: list[Widget], title: str) -> list[tuple[str, str, dict[str, str], str]]:
    """Namespace, name, dimensions and statistic of each line of a graph."""
    (found,) = [widget["properties"] for widget in widgets if widget["properties"]["title"] == title]
    return [
        (namespace, name, dict(zip(names[::2], names[1::2], strict=True)), options["stat"])
        for namespace, name, *names, options in found["metrics"]
    ]


def test_dashboard_shows_payments_by_outcome(stack: Stack, widgets: list[Widget]) -> None:
    accepted = [(NAMESPACE, PAYMENTS_ACCEPTED, {"service": stack.suffix, "step": s}, "Sum") for s in ("api", "split")]
    ended = [(NAMESPACE, name, {"service": stack.suffix, "step": "record"}, "Sum") for name in OUTCOMES.values()]

    assert graph(widgets, "payments by outcome") == accepted + ended


def test_dashboard_shows_percentiles_of_each_workflow_step(stack: Stack, widgets: list[Widget]) -> None:
    functions = {
        stack.resolve(state["Resource"]).removeprefix("${").rpartition(":")[2]
        for state in [*stack.definition()["States"].values(), *stack.refund_definition()["States"].values()]
        if ":function:" in state.get("Resource", "")
    }
    steps = [name.removeprefix("payment-").removesuffix(f"-{stack.suffix}") for name in functions]
    shown = graph(widgets, "milliseconds a step")

    assert sorted(metrics.STEPS) == sorted(steps)
    assert [line[0:2] for line in shown] == [(NAMESPACE, STEP_LATENCY)] * len(shown)
    assert {(line[2]["service"], line[2]["step"], line[3]) for line in shown} == {
        (stack.suffix, step, percentile) for step in steps for percentile in PERCENTILES
    }


def test_dashboard_shows_payment_latency_and_api_requests(stack: Stack, widgets: list[Widget]) -> None:
    api = {"ApiName": f"payment-api-{stack.suffix}", "Stage": stack.suffix}

    assert graph(widgets, "milliseconds from accepted to outcome") == [
        (NAMESPACE, PAYMENT_LATENCY, {"service": stack.suffix, "step": "record"}, percentile)
        for percentile in PERCENTILES
    ]
    assert graph(widgets, "API requests") == [
        ("AWS/ApiGateway", name, api, "Sum") for name in ("Count", "4XXError", "5XXError")
    ]


def test_dashboard_shows_every_alarm_with_its_metrics_and_threshold(stack: Stack, widgets: list[Widget]) -> None:
    below = {widget["properties"]["title"]: widget["properties"] for widget in widgets if widget["y"] > 0}
    alarms = {
        alarm["alarm_name"].removeprefix("payment-").removesuffix(f"-{stack.suffix}"): alarm
        for alarm in stack.all("aws_cloudwatch_metric_alarm").values()
    }

    assert below.keys() == alarms.keys()
    for name, alarm in alarms.items():
        watched = [query["metric"] for query in alarm.get("metric_query", []) if "metric" in query] or [alarm]
        assert [line[:2] for line in below[name]["metrics"]] == [[m["namespace"], m["metric_name"]] for m in watched]
        assert below[name]["annotations"]["horizontal"] == [{"label": "alarm", "value": alarm["threshold"]}]


def test_dashboard_graphs_do_not_overlap_or_leave_the_grid(widgets: list[Widget]) -> None:
    taken = [
        (x, y)
        for widget in widgets
        for x in range(widget["x"], widget["x"] + widget["width"])
        for y in range(widget["y"], widget["y"] + widget["height"])
    ]

    assert len(taken) == len(set(taken))
    assert max(x for x, _ in taken) < 24


def test_functions_that_emit_metrics_know_their_environment(stack: Stack) -> None:
    counting = {*metrics.STEPS, *metrics.ENTRANCES, "sweep", "webhook"}
    knowing = {
        function["function_name"].removeprefix("payment-").removesuffix(f"-{stack.suffix}")
        for function in stack.all("aws_lambda_function").values()
        if function["environment"]["variables"].get("ENVIRONMENT_SUFFIX") == stack.suffix
    }

    assert counting <= knowing
