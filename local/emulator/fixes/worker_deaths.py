"""A worker that dies while it starts, or as its event is handed over, is one failed invocation.

MiniStack then ends every other worker of the function in the middle of its work, and names the error by the pipe.
"""

from typing import Any

from ministack.core import lambda_runtime

from local.emulator.fixes.lambda_errors import WORKER_DIED
from local.emulator.fixes.patching import wrap

DIED_STARTING = "Worker process exited immediately"
DIED_READING = "Broken pipe"


def apply() -> None:
    wrap(lambda_runtime.Worker, "invoke", _fail_alone)


def _fail_alone(invoke: Any, worker: Any, *event: Any, **context: Any) -> dict[str, Any]:
    try:
        result: dict[str, Any] = invoke(worker, *event, **context)
    except (RuntimeError, BrokenPipeError) as error:
        if isinstance(error, RuntimeError) and not str(error).startswith(DIED_STARTING):
            raise
        result = {"status": "error", "error": WORKER_DIED, "cold_start": True, "log": ""}
    if DIED_READING in str(result.get("error")):
        result["error"] = WORKER_DIED
    return result
