"""An alarm of the applied stack during a drill: its periods are a tenth, and its state is read until it changes."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.waiting import eventually

TENTH = 10
SHORTEST_PERIOD_SECONDS = 10
STATES_THAT_NOTIFY = ("ALARM", "INSUFFICIENT_DATA")
"""The second one only of the alarm on silence: all others read missing data as no breach."""
LONGEST_WAIT_SECONDS = 300
"""A wait for an alarm shows no progress until it ends."""


class Alarm:
    """An alarm by its name in the table of alarms."""

    def __init__(self, cloudwatch: Any, name: str, suffix: str) -> None:
        self._cloudwatch = cloudwatch
        self.short_name = name
        self._name = f"payment-{name}-{suffix}"

    @property
    def state(self) -> str:
        """OK, ALARM or INSUFFICIENT_DATA."""
        return str(self._described()["StateValue"])

    def fires(self) -> None:
        """Wait until it notifies."""
        eventually(self._name, lambda: self.state, lambda now: now in STATES_THAT_NOTIFY, LONGEST_WAIT_SECONDS)

    def clears(self) -> None:
        """Wait until it is OK."""
        eventually(f"{self._name} to clear", lambda: self.state, lambda now: now == "OK", LONGEST_WAIT_SECONDS)

    @contextmanager
    def with_a_tenth_of_its_periods(self, threshold: float | None = None) -> Iterator[None]:
        """Put it with shorter periods, and another threshold if that is a time. Afterwards put it as it was."""
        before = self._settings()
        shorter = {**before, "Threshold": threshold or before["Threshold"]}
        if "Period" in before:
            shorter["Period"] = _tenth(before["Period"])
        if "Metrics" in before:
            shorter["Metrics"] = [_query_with_a_tenth(query) for query in before["Metrics"]]
        self._cloudwatch.put_metric_alarm(**shorter)
        try:
            yield
        finally:
            self._cloudwatch.put_metric_alarm(**before)

    def _described(self) -> dict[str, Any]:
        [alarm] = self._cloudwatch.describe_alarms(AlarmNames=[self._name])["MetricAlarms"]
        return dict(alarm)

    def _settings(self) -> dict[str, Any]:
        """All that PutMetricAlarm takes, of what DescribeAlarms gives."""
        taken = self._cloudwatch.meta.service_model.operation_model("PutMetricAlarm").input_shape.members
        return {name: value for name, value in self._described().items() if name in taken and value not in ("", [])}


def _query_with_a_tenth(query: dict[str, Any]) -> dict[str, Any]:
    if "MetricStat" not in query:
        return query
    return {**query, "MetricStat": {**query["MetricStat"], "Period": _tenth(query["MetricStat"]["Period"])}}


def _tenth(seconds: int) -> int:
    return max(SHORTEST_PERIOD_SECONDS, seconds // TENTH)
