"""The tasks of an execution run one after the other in one thread. MiniStack starts a pool and a thread for each task.

It replaces `ministack.services.stepfunctions._invoke_resource_with_timeout`.
"""

import contextvars
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

from ministack.services import stepfunctions

from local.ministack.fixes.patching import replace

_idle: Final = threading.local()  # its pool ends with the thread of the execution


def apply() -> None:
    """Replace MiniStack's function."""
    replace(stepfunctions, "_invoke_resource_with_timeout", invoke_with_timeout)


def invoke_with_timeout(resource: str, arguments: Any, seconds: float | None) -> Any:
    """The task's result. Raises States.Timeout after `seconds`; the task then continues, and its result is ignored."""
    pool: ThreadPoolExecutor = _idle.__dict__.pop("pool", None) or ThreadPoolExecutor(1)
    context = contextvars.copy_context()  # the account and the region
    task = pool.submit(context.run, stepfunctions._invoke_resource, resource, arguments)
    try:
        return task.result(timeout=seconds)
    except TimeoutError:
        raise stepfunctions._ExecutionError("States.Timeout", f"Task timed out after {seconds} seconds") from None
    finally:
        if task.done():
            _idle.pool = pool
        else:
            pool.shutdown(wait=False)
