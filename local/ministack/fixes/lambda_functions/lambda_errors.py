"""Python errors keep their class name.

MiniStack names every exception `Runtime.HandlerError`: no Retry or Catch by name matches. It also kills the process
that raised the error, which makes the next invocation a cold start. AWS does neither.

Probe: `lambda_errors` in tests/local/ministack/test_upstream.py.
"""

from typing import Any

from ministack.services import lambda_svc

from local.ministack.fixes.lambda_functions.forked_workers import WORKER_ENDED
from local.ministack.fixes.patching import wrap
from local.ministack.runtime.fork_server import RAISED


def apply() -> None:
    wrap(lambda_svc, "_execute_function_warm", _name_the_error)


def _name_the_error(execute: Any, function: dict[str, Any], event: Any, request_id: str) -> dict[str, Any]:
    result: dict[str, Any] = execute(function, event, request_id)
    body = result.get("body")
    if not isinstance(body, dict):
        return result
    if RAISED in body:
        return {"body": body[RAISED], "error": True, "log": result["log"]}
    if body.get("errorMessage") == WORKER_ENDED:
        message = f"RequestId: {request_id} Error: Runtime exited"
        return {**result, "body": {"errorType": "Runtime.ExitError", "errorMessage": message}}
    return result
