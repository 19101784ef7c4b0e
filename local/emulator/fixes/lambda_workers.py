"""At most LAMBDA_MAX_WORKERS warm processes a function.

MiniStack starts a process for every invocation in flight: 9 GB in a burst, to be served hardly any sooner than by a
few. Here an invocation waits for its turn. A function that calls itself would wait for ever, so that after a while an
invocation gets a process of its own all the same.
"""

import os
import threading
from collections import defaultdict
from typing import Any

from ministack.services import lambda_svc

from local.emulator.fixes.patching import wrap

LONGEST_WAIT_SECONDS = 60.0

_max_workers = int(os.environ.get("LAMBDA_MAX_WORKERS", "12"))
# a semaphore wakes one of those that wait, in their order: a crowd that is woken together only gets in its own way
_places: dict[str, threading.Semaphore] = defaultdict(lambda: threading.Semaphore(_max_workers))


def apply() -> None:
    wrap(lambda_svc, "_execute_function_warm", _in_turn)


def _in_turn(execute: Any, function: Any, event: Any, request_id: str) -> Any:
    places = _places[(function.get("config") or function).get("FunctionArn", "")]
    in_turn = places.acquire(timeout=LONGEST_WAIT_SECONDS)
    try:
        return execute(function, event, request_id)
    finally:
        if in_turn:
            places.release()
