"""Records the AWS/Lambda metrics of every invocation.

MiniStack only counts invocations through the Invoke API, not those by API Gateway, SQS or a state machine.

Probe: `lambda_metrics` in tests/local/ministack/test_upstream.py.
"""

import time
from typing import Any

from ministack.services import cloudwatch, lambda_svc

from local.ministack.fixes.patching import wrap


def apply() -> None:
    wrap(lambda_svc, "_execute_function_dispatch", _count_invocation)
    wrap(lambda_svc, "_emit_lambda_metrics", _count_throttle)


def _count_invocation(
    dispatch: Any, function: Any, config: dict[str, Any], event: Any, request_id: str, started: float
) -> Any:
    result = dispatch(function, config, event, request_id, started)
    dimensions = {"FunctionName": config["FunctionName"]}
    duration_ms = (time.time() - started) * 1000
    cloudwatch.record_metric("AWS/Lambda", "Invocations", 1, "Count", dimensions)
    cloudwatch.record_metric("AWS/Lambda", "Errors", 1 if result.get("error") else 0, "Count", dimensions)
    cloudwatch.record_metric("AWS/Lambda", "Duration", duration_ms, "Milliseconds", dimensions)
    cloudwatch.record_metric("AWS/Lambda", "Throttles", 0, "Count", dimensions)
    return result


def _count_throttle(_emit: Any, function_name: str, *, duration_ms: float, throttle: bool, **_other: bool) -> None:
    # The Invoke API reports a throttle a second time, with a duration. The first report occurs for all callers.
    if throttle and not duration_ms:
        cloudwatch.record_metric("AWS/Lambda", "Throttles", 1, "Count", {"FunctionName": function_name})
