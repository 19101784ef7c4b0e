"""The tasks of an execution run one after the other in one thread. MiniStack starts a pool and a thread for each task.

It replaces `ministack.services.stepfunctions._invoke_resource_with_timeout`.
"""

import contextvars
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

from ministack.services import stepfunctions

from local.ministack.fixes.lambda_functions.lambda_places import QueueTime, queue_time
from local.ministack.fixes.patching import replace

_idle: Final = threading.local()  # its pool ends with the thread of the execution


def apply() -> None:
    """Replace MiniStack's function."""
    replace(stepfunctions, "_invoke_resource_with_timeout", invoke_with_timeout)


def invoke_with_timeout(resource: str, arguments: Any, seconds: float | None) -> Any:
    """The task's result. Raises States.Timeout after `seconds`; the task then continues, and its result is ignored.

    The time that a function waits for its place does not count: on AWS it would start at once.
    """
    pool: ThreadPoolExecutor = _idle.__dict__.pop("pool", None) or ThreadPoolExecutor(1)
    queued = QueueTime()
    context = contextvars.copy_context()  # the account and the region
    context.run(queue_time.set, queued)
    task = pool.submit(context.run, stepfunctions._invoke_resource, resource, arguments)
    began_at = time.monotonic()
    try:
        while True:
            left = None if seconds is None else max(0.0, seconds + queued.seconds - (time.monotonic() - began_at))
            try:
                return task.result(timeout=left)
            except TimeoutError:
                if task.done() or left == 0:
                    message = f"Task timed out after {seconds} seconds"
                    raise stepfunctions._ExecutionError("States.Timeout", message) from None
    finally:
        if task.done():
            _idle.pool = pool
        else:
            pool.shutdown(wait=False)
