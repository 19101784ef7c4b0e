"""Invocations of all functions wait for a place in a bounded number of processes.

MiniStack starts a process for every invocation in flight: 14 GB and a load of 260 in one test run. Here an invocation
waits in a queue for its place, because one machine has fewer places than AWS. LAMBDA_PLACES limits the concurrent
invocations of all functions (16 per core). LAMBDA_PLACES_EACH limits those of one function (6 per core): a slow
function does not block the others. The number of processes kept warm is twice the number of places.

On AWS nothing waits in this queue: an invocation starts at once or is rejected with 429. Therefore the time in the
queue does not count against the time limit of a task (QueueTime), and no task gives up an invocation that still waits.
A rejection is as on AWS: MiniStack answers 429 above LAMBDA_ACCOUNT_CONCURRENCY invocations, running or waiting. Its
default depends on the machine's memory and is at most AWS's quota of 1,000.

An invocation never waits for its own caller: a function that another function invokes synchronously gets a place beyond
the limit. An invocation by another service (the API, a state machine) does not name its caller. Therefore, if no place
of its function is taken or released for STALL_SECONDS, the function's first invocation in the queue is admitted, up to
half beyond the limit. Nested calls alone get the places up to twice the limit, and are answered 429 there.

Probe: `lambda_places` in tests/local/ministack/test_upstream.py.
"""

import os
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final, NamedTuple

from ministack.core import lambda_runtime
from ministack.services import lambda_svc

from local.ministack.fixes.lambda_functions.async_retries import AsyncEvent
from local.ministack.fixes.patching import wrap

CORES: Final = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
STALL_SECONDS: Final = 10.0


class QueueTime:
    """How long the invocations of one caller have waited for their places."""

    def __init__(self) -> None:
        self._ended_waits = 0.0
        self._since: float | None = None

    @property
    def seconds(self) -> float:
        """The seconds so far, including those of a wait that has not ended."""
        since = self._since
        return self._ended_waits + (time.monotonic() - since if since is not None else 0)

    @contextmanager
    def counted(self) -> Iterator[None]:
        """Count the time until the end of the block."""
        self._since = began_at = time.monotonic()
        yield
        self._since = None
        self._ended_waits += time.monotonic() - began_at


queue_time: Final[ContextVar[QueueTime]] = ContextVar("queue_time")
"""That of the current task of a state machine. Unset for other callers."""


class _Waiting(NamedTuple):
    """An invocation in the queue."""

    function: str
    since: float
    turn: threading.Event


class Places:
    """Admits at most `total` invocations at a time, and at most `each` of one function, in order of arrival."""

    def __init__(self, total: int, each: int, stall_seconds: float = STALL_SECONDS) -> None:
        self.total = total
        self._each = each
        self._stall_seconds = stall_seconds
        self._taken: Counter[str] = Counter()
        self._queue: list[_Waiting] = []
        self._lock = threading.Lock()
        self._moved_at: dict[str, float] = {}
        self.peak = 0

    @property
    def running(self) -> int:
        """The number of invocations that have a place."""
        return self._taken.total()

    @property
    def waiting(self) -> int:
        """The number of invocations in the queue."""
        return len(self._queue)

    def take(self, function: str, *, nested: bool = False) -> bool:
        """Wait until the invocation may run. Returns False at once for a nested one if no place is left."""
        with self._lock:
            if nested:
                left = self._taken.total() < 2 * self.total
                if left:
                    self._let_in(function)
                return left
            mine = _Waiting(function, time.monotonic(), threading.Event())
            self._queue.append(mine)
            self._admit()
        if not mine.turn.is_set():
            with queue_time.get(QueueTime()).counted():
                while not mine.turn.wait(self._stall_seconds):
                    self._admit_if_stuck(function)
        return True

    def give_back(self, function: str) -> None:
        """Release the place of an ended invocation."""
        with self._lock:
            self._taken[function] -= 1
            self._moved_at[function] = time.monotonic()
            self._admit()

    def _admit(self) -> None:
        left = self.total - self._taken.total()
        full = {function for function, taken in self._taken.items() if taken >= self._each}
        for waiting in list(self._queue):
            if left <= 0:
                return
            if waiting.function not in full:
                self._start(waiting)
                left -= 1
                if self._taken[waiting.function] >= self._each:
                    full.add(waiting.function)

    def _admit_if_stuck(self, function: str) -> None:
        """Admit the function's first invocation in the queue if its places have not moved since then."""
        with self._lock:
            first = next((waiting for waiting in self._queue if waiting.function == function), None)
            if first is None or self._taken.total() >= self.total + max(1, self.total // 2):
                return
            moved_at = max(first.since, self._moved_at.get(function, first.since))
            if time.monotonic() - moved_at >= self._stall_seconds:
                self._start(first)

    def _start(self, waiting: _Waiting) -> None:
        self._queue.remove(waiting)
        self._let_in(waiting.function)
        waiting.turn.set()

    def _let_in(self, function: str) -> None:
        self._taken[function] += 1
        self._moved_at[function] = time.monotonic()
        self.peak = max(self.peak, self._taken.total())


places: Final = Places(
    total=int(os.environ.get("LAMBDA_PLACES", 16 * CORES)),
    each=int(os.environ.get("LAMBDA_PLACES_EACH", 6 * CORES)),
)

KEPT: Final = 2 * places.total


def apply() -> None:
    """Let every invocation wait for its place, and keep at most KEPT processes."""
    wrap(lambda_svc, "_execute_function_warm", _in_turn)
    wrap(lambda_svc, "acquire_worker", _instead_of_an_idle_one)


def _in_turn(execute: Any, function: Any, event: Any, request_id: str) -> Any:
    name = (function.get("config") or function)["FunctionName"]
    # the depth counts hops through Invoke: 2 means that another function called this one
    nested = lambda_svc._invoke_depth.get() > 1 and not isinstance(event, AsyncEvent)
    if not places.take(name, nested=nested):
        message = f"Rate Exceeded: nested invocations use all {2 * places.total} places"
        return lambda_svc._throttle_response(reason_code="ConcurrentInvocationLimitExceeded", msg=message)
    try:
        return execute(function, event, request_id)
    finally:
        places.give_back(name)


def _instead_of_an_idle_one(acquire: Any, *args: Any, **kwargs: Any) -> Any:
    """If there are too many processes, a new process ends the one that has been idle longest."""
    worker, how = acquire(*args, **kwargs)
    if how == "spawn":
        lambda_runtime.kill_workers(_surplus())
    return worker, how


def _surplus() -> list[Any]:
    with lambda_runtime._lock:
        kept = [(worker.last_used, worker, pool) for pool in lambda_runtime._workers.values() for worker in pool]
        idle = sorted((one for one in kept if not one[1].in_use), key=lambda one: one[0])
        surplus = idle[: max(0, len(kept) - KEPT)]
        for _, worker, pool in surplus:
            pool.remove(worker)
    return [worker for _, worker, _ in surplus]
