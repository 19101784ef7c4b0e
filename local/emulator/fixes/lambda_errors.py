"""Python errors keep their class name.

MiniStack calls every exception `Runtime.HandlerError`, so that no Retry or Catch by name ever matches, and kills
the process that raised it, so that the next invocation starts cold. AWS does neither.
"""

from pathlib import Path
from typing import Any

from ministack.core import lambda_runtime
from ministack.services import lambda_svc

from local.emulator.fixes.patching import wrap
from local.emulator.runtime.lambda_entry import RAISED

ENTRY = "lambda_entry.handle"
ENTRY_DIRECTORY = Path(__file__).parents[1] / "runtime"
WORKER_DIED = "Worker process died"


def apply() -> None:
    wrap(lambda_runtime.Worker, "_spawn", _spawn_our_entry)
    wrap(lambda_svc, "_execute_function_warm", _name_the_error)


def _spawn_our_entry(spawn: Any, worker: Any) -> None:
    config = worker.config
    if config.get("Runtime", "").startswith("python"):
        worker.config = _with_our_entry(config)
    try:
        spawn(worker)
    finally:
        worker.config = config


def _with_our_entry(config: dict[str, Any]) -> dict[str, Any]:
    variables = {
        **config.get("Environment", {}).get("Variables", {}),
        "_HANDLER": config["Handler"],
        "PYTHONPATH": str(ENTRY_DIRECTORY),
    }
    return {**config, "Handler": ENTRY, "Environment": {"Variables": variables}}


def _name_the_error(execute: Any, function: dict[str, Any], event: Any, request_id: str) -> dict[str, Any]:
    result: dict[str, Any] = execute(function, event, request_id)
    body = result.get("body")
    if not isinstance(body, dict):
        return result
    if RAISED in body:
        return {"body": body[RAISED], "error": True, "log": result["log"]}
    if body.get("errorMessage") == WORKER_DIED:
        message = f"RequestId: {request_id} Error: Runtime exited"
        return {**result, "body": {"errorType": "Runtime.ExitError", "errorMessage": message}}
    return result
