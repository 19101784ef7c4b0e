"""A throttled function fails with `Lambda.TooManyRequestsException` in a state machine.

MiniStack reports `Lambda.Unknown`.

Probe: `lambda_throttling` in tests/local/ministack/test_upstream.py.
"""

import json
from typing import Any

from ministack.services import stepfunctions

from local.ministack.fixes.patching import wrap


def apply() -> None:
    wrap(stepfunctions, "_call_lambda", _name_the_throttle)


def _name_the_throttle(call: Any, function: str, event: Any) -> Any:
    try:
        return call(function, event)
    except stepfunctions._ExecutionError as error:
        if error.error == "Lambda.Unknown" and _is_throttle(error.cause):
            raise stepfunctions._ExecutionError("Lambda.TooManyRequestsException", error.cause) from None
        raise


def _is_throttle(cause: str) -> bool:
    try:
        return bool(json.loads(cause)["__type"] == "TooManyRequestsException")
    except (ValueError, TypeError, KeyError):
        return False
