"""What really runs in a Python Lambda worker: the function named by _HANDLER, its errors told as AWS tells them.

MiniStack's worker reports an exception without its class and then throws the process away. Here the exception
becomes an ordinary answer, which the `lambda_errors` fix turns back into a failed invocation on the other side. The
end of the log is marked, so that the reader knows when it has all of it (the `lambda_logs` fix).
This file runs without the project on its path: it imports nothing but the standard library.
"""

import importlib
import os
import sys
import traceback
from typing import Any

RAISED = "__raised__"
END_OF_LOG = "\x1eend-of-log"
NICENESS = 10
"""The emulator goes first: all workers wait for its answers, the longer when it waits for them."""

if "_HANDLER" in os.environ:  # in a worker; the emulator only reads the two names above
    os.nice(NICENESS)
    _module, _, _function = os.environ["_HANDLER"].rpartition(".")
    _handler = getattr(importlib.import_module(_module.replace("/", ".")), _function)


def handle(event: Any, context: Any) -> Any:
    """The handler's result, or {RAISED: {errorType, errorMessage, requestId, stackTrace}}."""
    try:
        return _handler(event, context)
    except Exception as error:  # noqa: BLE001 - the runtime's edge: whatever a handler raises is its answer
        _log(f"[ERROR] {''.join(traceback.format_exception(error))}")
        return {
            RAISED: {
                "errorMessage": str(error),
                "errorType": type(error).__name__,
                "requestId": context.aws_request_id,
                "stackTrace": traceback.format_tb(error.__traceback__)[1:],
            }
        }
    finally:
        _log(f"{END_OF_LOG}\n")


def _log(text: str) -> None:
    sys.stderr.write(text)
    sys.stderr.flush()
