"""At most LAMBDA_MAX_WORKERS warm processes a function.

MiniStack starts a process for every invocation in flight: 9 GB in a burst that 4 processes a function serve nearly
as fast. Here an invocation waits for a free one. A function that calls itself would wait for ever, so that after a
while an invocation gets a process of its own all the same.
"""

import os
import threading
import time
from typing import Any

from ministack.services import lambda_svc

from local.emulator.fixes.patching import wrap

LONGEST_WAIT_SECONDS = 30.0

_max_workers = int(os.environ.get("LAMBDA_MAX_WORKERS", "4"))
_released = threading.Condition()


def apply() -> None:
    wrap(lambda_svc, "acquire_worker", _wait_for_a_worker)
    wrap(lambda_svc, "release_worker", _tell_the_waiting)


def _wait_for_a_worker(acquire: Any, *args: Any, **kwargs: Any) -> Any:
    deadline = time.monotonic() + LONGEST_WAIT_SECONDS
    with _released:
        while True:
            worker, reason = acquire(*args, **kwargs, max_concurrency=_max_workers)
            left = deadline - time.monotonic()
            if worker is not None or left <= 0:
                break
            _released.wait(timeout=left)
    return (worker, reason) if worker is not None else acquire(*args, **kwargs)


def _tell_the_waiting(release: Any, worker: Any) -> None:
    release(worker)
    with _released:
        _released.notify_all()
