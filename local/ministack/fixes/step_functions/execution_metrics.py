"""Records the AWS/States metrics: started executions, ended executions by outcome, and execution time.

MiniStack does not record them.

Probe: `execution_metrics` in tests/local/ministack/test_upstream.py.
"""

from datetime import datetime
from typing import Any

from ministack.services import cloudwatch, stepfunctions

from local.ministack.fixes.patching import wrap

METRICS = {
    "RUNNING": "ExecutionsStarted",
    "SUCCEEDED": "ExecutionsSucceeded",
    "FAILED": "ExecutionsFailed",
    "TIMED_OUT": "ExecutionsTimedOut",
    "ABORTED": "ExecutionsAborted",
}


def apply() -> None:
    wrap(stepfunctions, "_emit_execution_status_event", _count_execution)


def _count_execution(emit: Any, execution: dict[str, Any]) -> None:
    emit(execution)
    dimensions = {"StateMachineArn": execution["stateMachineArn"]}
    cloudwatch.record_metric("AWS/States", METRICS[execution["status"]], 1, "Count", dimensions)
    if execution["stopDate"]:
        took = datetime.fromisoformat(execution["stopDate"]) - datetime.fromisoformat(execution["startDate"])
        milliseconds = took.total_seconds() * 1000
        cloudwatch.record_metric("AWS/States", "ExecutionTime", milliseconds, "Milliseconds", dimensions)
