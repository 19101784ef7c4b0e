"""An alarm keeps exactly the settings that it was given.

MiniStack drops metric math, drops InsufficientDataActions over the query protocol, and adds a statistic and a period to
alarms that have neither. Terraform reports each of these as drift in every plan.

Probe: `alarm_settings` in tests/local/ministack/test_upstream.py.
"""

from typing import Any

from ministack.services import cloudwatch

from local.ministack.fixes.cloudwatch import query_protocol
from local.ministack.fixes.patching import wrap

DROPPED = ("Metrics", "InsufficientDataActions", "ThresholdMetricId", "EvaluateLowSampleCountPercentile")
INVENTED = ("MetricName", "Namespace", "Statistic", "ExtendedStatistic", "Period", "Unit")


def apply() -> None:
    wrap(cloudwatch, "_put_metric_alarm", _keep_what_was_asked)


def _keep_what_was_asked(
    put: Any, form: dict[str, Any], data: dict[str, Any], is_cbor: bool, is_json: bool = False
) -> Any:
    response = put(form, data, is_cbor, is_json)
    request = data if is_cbor or is_json else query_protocol.parse(form)
    alarm = cloudwatch._alarms.get(request.get("AlarmName"))
    if response[0] == 200 and alarm is not None:
        alarm.update({name: request[name] for name in DROPPED if request.get(name)})
        if "Metrics" in alarm:
            alarm["Metrics"] = [_typed(query) for query in alarm["Metrics"]]
        for name in INVENTED:
            if not request.get(name):
                alarm.pop(name, None)
        cloudwatch._evaluate_alarm(alarm)  # MiniStack evaluated it before it was complete
    return response


def _typed(query: dict[str, Any]) -> dict[str, Any]:
    """Convert the numbers and booleans of a metric data query, which may be text, to their types."""
    typed = {**query, "ReturnData": str(query.get("ReturnData", True)).lower() == "true"}
    if "Period" in query:
        typed["Period"] = int(query["Period"])
    if "MetricStat" in query:
        typed["MetricStat"] = {**query["MetricStat"], "Period": int(query["MetricStat"]["Period"])}
    return typed
