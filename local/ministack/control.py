"""The control API of the local AWS, for tests: unsigned requests on its own port.

GET /_local/workers returns the running Lambda processes. GET /_local/disturbances returns how often each action failed.
POST /_local/disturbances sets the actions that fail. See local/ministack/disturbances.py.
"""

import json
from typing import Any

from ministack import app
from ministack.core import lambda_runtime

from local.ministack import disturbances
from local.ministack.fixes.patching import wrap


def start() -> None:
    """Serve the paths below /_local."""
    wrap(app, "_handle_post_body_shortcuts", _answer)


async def _answer(otherwise: Any, method: str, path: str, headers: Any, body: bytes, *more: Any) -> Any:
    match method, path:
        case "GET", "/_local/workers":
            answer: Any = _workers()
        case "GET", "/_local/disturbances":
            answer = disturbances.current.counts
        case "POST", "/_local/disturbances":
            disturbances.current.set(**json.loads(body))
            answer = {}
        case _:
            return await otherwise(method, path, headers, body, *more)
    return 200, {"Content-Type": "application/json"}, json.dumps(answer).encode()


def _workers() -> list[dict[str, Any]]:
    with lambda_runtime._lock:
        workers = [worker for pool in lambda_runtime._workers.values() for worker in pool]
    processes = [(worker, worker._proc) for worker in workers]
    return [
        {"pid": process.pid, "function": worker.func_name, "busy": worker.in_use}
        for worker, process in processes
        if process is not None and process.poll() is None
    ]
