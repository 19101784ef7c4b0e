"""Alarms are evaluated as in CloudWatch: by dimensions, metric math, M of N datapoints, and missing data.

MiniStack mixes all dimensions of a metric and does not support metric math, DatapointsToAlarm or TreatMissingData.
Periods here end now, not at the full minute: an alarm fires within seconds of its cause.
https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarms-and-missing-data.html

Probe: `alarm_states` in tests/local/ministack/test_upstream.py.
"""

import operator
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

from ministack.services import cloudwatch

from local.ministack.fixes.cloudwatch.metric_math import evaluate
from local.ministack.fixes.cloudwatch.metric_points import points_between
from local.ministack.fixes.patching import wrap

COMPARISONS: Final[dict[str, Callable[[float, float], bool]]] = {
    "GreaterThanOrEqualToThreshold": operator.ge,
    "GreaterThanThreshold": operator.gt,
    "LessThanThreshold": operator.lt,
    "LessThanOrEqualToThreshold": operator.le,
}

_one_at_a_time = threading.RLock()  # a request and the clock may evaluate at the same time; actions must run once


def apply() -> None:
    wrap(cloudwatch, "_evaluate_alarm", lambda _original, alarm: judge(alarm))


def judge(alarm: dict[str, Any]) -> None:
    """Set the alarm's state from its datapoints. If the state changes, run the actions of the new state."""
    if alarm.get("ComparisonOperator") not in COMPARISONS or not (alarm.get("MetricName") or alarm.get("Metrics")):
        return
    values = datapoints(alarm, time.time())
    breaches = COMPARISONS[alarm["ComparisonOperator"]]
    state = verdict(
        [None if value is None else breaches(value, alarm["Threshold"]) for value in values],
        needed=int(alarm.get("DatapointsToAlarm") or len(values)),
        missing=alarm.get("TreatMissingData", "missing"),
    )
    with _one_at_a_time:
        if state is not None and state != alarm["StateValue"]:
            _change_state(alarm, state, f"Datapoints {values}, {alarm['ComparisonOperator']} {alarm['Threshold']}")


def verdict(breaching: Sequence[bool | None], *, needed: int, missing: str) -> str | None:
    """The state for datapoints from newest to oldest, None for a missing one. None keeps the current state."""
    known = [breach for breach in breaching if breach is not None]
    unknown = len(breaching) - len(known)
    bad = known.count(True) + (unknown if missing == "breaching" else 0)
    if bad >= needed:
        return "ALARM"
    if not known:
        return {"missing": "INSUFFICIENT_DATA", "ignore": None}.get(missing, "OK")
    if missing == "ignore" and bad and bad + unknown >= needed:
        return None
    # few datapoints, all breaching, and the oldest is as old as DatapointsToAlarm: AWS does not wait for more
    if missing == "missing" and all(known) and True in breaching[needed - 1 :]:
        return "ALARM"
    return "OK"


def datapoints(alarm: dict[str, Any], now: float) -> list[float | None]:
    """The alarm's value in each of its evaluation periods, newest first. `now` is in seconds since 1970."""
    period = _period(alarm)
    ends = [now - number * period for number in range(int(alarm.get("EvaluationPeriods", 1)))]
    return [_value(alarm, end - period, end) for end in ends]


def _period(alarm: dict[str, Any]) -> int:
    stats = [query["MetricStat"] for query in alarm.get("Metrics", ()) if "MetricStat" in query]
    return max((int(stat["Period"]) for stat in stats), default=int(alarm.get("Period") or 60))


def _value(alarm: dict[str, Any], start: float, end: float) -> float | None:
    if "Metrics" not in alarm:
        return _statistic(alarm, alarm.get("ExtendedStatistic") or alarm["Statistic"], alarm.get("Unit"), start, end)
    values: dict[str, float | None] = {}
    expressions: dict[str, str] = {}
    for query in alarm["Metrics"]:
        if "MetricStat" in query:
            stat = query["MetricStat"]
            values[query["Id"]] = _statistic(stat["Metric"], stat["Stat"], stat.get("Unit"), start, end)
        else:
            expressions[query["Id"]] = query["Expression"]
    answer = next(query["Id"] for query in alarm["Metrics"] if query.get("ReturnData", True))
    return evaluate(answer, values, expressions)


def _statistic(metric: dict[str, Any], statistic: str, unit: str | None, start: float, end: float) -> float | None:
    dimensions = {dimension["Name"]: dimension["Value"] for dimension in metric.get("Dimensions") or ()}
    key = (metric["Namespace"], metric["MetricName"], cloudwatch._dims_key(dimensions))
    points = [point for point in points_between(key, start, end) if unit in (None, point.get("Unit"))]
    if not points:
        return None
    value: float | None = cloudwatch._stat_value(cloudwatch._calc_stats(points), statistic, points)
    return value


def _change_state(alarm: dict[str, Any], new: str, reason: str) -> None:
    old = alarm["StateValue"]
    alarm.update(StateValue=new, StateReason=reason, StateUpdatedTimestamp=int(time.time()))
    cloudwatch._record_history(alarm["AlarmName"], old, new, reason)
    cloudwatch._dispatch_alarm_actions(alarm, old, new, reason)
    cloudwatch._evaluate_parent_alarms(alarm)
