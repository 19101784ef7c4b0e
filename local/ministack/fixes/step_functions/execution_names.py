"""A start is idempotent by its name: the same name and input return the running execution.

MiniStack rejects every name that was used before. AWS rejects the name only with another input or after the execution
has ended. On AWS, Express executions may share a name.
https://docs.aws.amazon.com/step-functions/latest/apireference/API_StartExecution.html

Probe: `execution_names` in tests/local/ministack/test_upstream.py.
"""

import json
import uuid
from typing import Any

from ministack.core.responses import json_response
from ministack.services import stepfunctions

from local.ministack.fixes.patching import wrap


def apply() -> None:
    wrap(stepfunctions, "_start_execution", _start_or_find)


def _start_or_find(start: Any, request: dict[str, Any]) -> Any:
    response = start(request)
    answer = json.loads(response[2])
    if answer.get("__type") != "ExecutionAlreadyExists":
        return response
    execution = stepfunctions._executions[answer["message"].split("'")[1]]
    if stepfunctions._state_machines[execution["stateMachineArn"]]["type"] == "EXPRESS":
        return _start_another(start, request)
    if execution["status"] == "RUNNING" and execution["input"] == request.get("input", "{}"):
        return json_response({name: execution[name] for name in ("executionArn", "startDate")})
    return response


def _start_another(start: Any, request: dict[str, Any]) -> Any:
    """The ARN of an Express execution ends in a unique id after the name."""
    response = start({**request, "name": f"{request['name']}:{uuid.uuid4()}"})
    stepfunctions._executions[json.loads(response[2])["executionArn"]]["name"] = request["name"]
    return response
