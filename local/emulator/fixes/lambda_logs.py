"""A log is read until its end marker.

MiniStack waits 50 ms for the first line of a handler that prints nothing, and 5 ms of silence after a line, so a
silent handler is slow and a slow printer loses lines. Our entry marks the end (see runtime/lambda_entry.py).
"""

import queue
import time
from typing import Any

from ministack.core import lambda_runtime

from local.emulator.fixes.patching import wrap
from local.emulator.runtime.lambda_entry import END_OF_LOG

LONGEST_WAIT_SECONDS = 5.0


def apply() -> None:
    wrap(lambda_runtime.Worker, "_drain_stderr_bounded", _read_to_the_marker)


def _read_to_the_marker(drain: Any, worker: Any, *args: Any, **kwargs: Any) -> str:
    process_gone = worker._proc is None
    if process_gone or not worker.config.get("Runtime", "").startswith("python"):
        return str(drain(worker, *args, **kwargs))
    lines: list[str] = []
    deadline = time.monotonic() + LONGEST_WAIT_SECONDS
    while (left := deadline - time.monotonic()) > 0:
        try:
            line: str = worker._stderr_queue.get(timeout=left)
        except queue.Empty:
            break
        text, marker, _ = line.partition(END_OF_LOG)
        if text or not marker:
            lines.append(text)
        if marker:
            break
    return "\n".join(lines)
