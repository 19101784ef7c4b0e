"""A state machine keeps its tracingConfiguration.

MiniStack drops it, and Terraform sets it again in every plan.

Probe: `tracing` in tests/local/ministack/test_upstream.py.
"""

import json
from typing import Any

from ministack.services import stepfunctions

from local.ministack.fixes.patching import wrap


def apply() -> None:
    wrap(stepfunctions, "_create_state_machine", _remember_tracing)
    wrap(stepfunctions, "_update_state_machine", _remember_tracing)


def _remember_tracing(change: Any, request: dict[str, Any]) -> Any:
    response = change(request)
    status, _, body = response
    if status == 200 and "tracingConfiguration" in request:
        arn = request.get("stateMachineArn") or json.loads(body)["stateMachineArn"]
        stepfunctions._state_machines[arn]["tracingConfiguration"] = request["tracingConfiguration"]
    return response
