"""Invocations of all functions wait for a place in a bounded number of processes.

MiniStack starts a process for every invocation in flight: 14 GB and a load of 260 in one test run. Here an invocation
waits in a queue for its place. LAMBDA_PLACES limits the concurrent invocations of all functions (16 per core).
LAMBDA_PLACES_EACH limits those of one function (6 per core): a slow function does not block the others. The number of
processes kept warm is twice the number of places. Above LAMBDA_ACCOUNT_CONCURRENCY invocations in total, running or
waiting, MiniStack answers 429, as AWS does at its account limit (1,000).

An invocation never waits for its own caller: a function that another function invokes synchronously gets a place beyond
the limit. An invocation by another service (the API, a state machine) does not name its caller. Therefore, if no place
of its function is taken or released for STALL_SECONDS, a waiting invocation is admitted, up to twice the limit. At
twice the limit, a nested call is answered 429.

Probe: `lambda_places` in tests/local/ministack/test_upstream.py.
"""

import os
import threading
import time
from collections import Counter
from typing import Any, Final

from ministack.core import lambda_runtime
from ministack.services import lambda_svc

from local.ministack.fixes.lambda_functions.async_retries import AsyncEvent
from local.ministack.fixes.patching import wrap

CORES: Final = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
STALL_SECONDS: Final = 10.0


class Places:
    """Admits at most `total` invocations at a time, and at most `each` of one function, in order of arrival."""

    def __init__(self, total: int, each: int, stall_seconds: float = STALL_SECONDS) -> None:
        self.total = total
        self._each = each
        self._stall_seconds = stall_seconds
        self._taken: Counter[str] = Counter()
        self._queue: list[tuple[str, threading.Event]] = []
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
        turn = threading.Event()
        with self._lock:
            if nested:
                left = self._taken.total() < 2 * self.total
                if left:
                    self._let_in(function)
                return left
            self._queue.append((function, turn))
            self._admit()
        since = time.monotonic()
        while not turn.wait(self._stall_seconds):
            self._admit_if_stuck(function, turn, since)
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
        position = 0
        while left > 0 and position < len(self._queue):
            function, turn = self._queue[position]
            if function in full:
                position += 1
                continue
            del self._queue[position]
            self._let_in(function)
            turn.set()
            left -= 1
            if self._taken[function] >= self._each:
                full.add(function)

    def _admit_if_stuck(self, function: str, turn: threading.Event, since: float) -> None:
        with self._lock:
            moved_at = max(since, self._moved_at.get(function, since))
            stuck = time.monotonic() - moved_at >= self._stall_seconds
            if stuck and not turn.is_set() and self._taken.total() < 2 * self.total:
                self._queue.remove((function, turn))
                self._let_in(function)
                turn.set()

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
