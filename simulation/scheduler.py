"""The scheduler: tasks that take turns in one thread, in virtual time.

A task is a greenlet. It runs until it sleeps or waits, and other tasks never see its work in between half done. The
heap of the next entries is the clock: time jumps from one entry to the next. Nothing is random here: the same calls
give the same order.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from heapq import heappop, heappush
from itertools import count
from typing import Any

from greenlet import GreenletExit, getcurrent, greenlet

START = datetime(2026, 11, 21, 12, tzinfo=UTC)
_SECOND = 1_000_000


@dataclass(frozen=True, slots=True)
class Ended:
    """The end of a task: its value, or an error's name and text as AWS would report them to the caller."""

    value: Any = None
    error: str = ""
    cause: str = ""

    @property
    def well(self) -> bool:
        """Whether the task ended without an error."""
        return not self.error


TIMED_OUT = Ended(error="Sandbox.Timedout", cause="the function ran into its time limit")


class Task:
    """A running task. `deadline` is the time in microseconds at which it is stopped at any point; None: never. The
    scheduler does not wait for a `daemon`."""

    __slots__ = ("_body", "_waiters", "actor", "daemon", "deadline", "doom", "ended", "slowness", "thread", "token")

    def __init__(self, actor: str, body: Callable[[], Any], deadline: int | None, daemon: bool) -> None:
        self.actor = actor
        self.deadline = deadline
        self.daemon = daemon
        self.slowness = 1.0
        self.ended: Ended | None = None
        self.doom: Ended | None = None
        self.token = 0
        self.thread: greenlet | None = None
        self._body: Callable[[], Any] | None = body
        self._waiters: list[Task] = []


class Scheduler:
    """Runs tasks in virtual time. `error_of` converts an exception that ends a task to its report."""

    def __init__(self, error_of: Callable[[Exception], Ended]) -> None:
        self.now = 0
        self.current: Task | None = None
        self.closed = False
        self.halted = False
        """Set to stop the run: no task continues."""
        self.busy = 0
        """The number of unfinished tasks without daemons."""
        self._error_of = error_of
        self._heap: list[tuple[int, int, Task, int]] = []
        self._order = count()
        self._hub = getcurrent()
        self._dropped: list[greenlet] = []
        self._idle: list[greenlet] = []

    # For tasks ------------------------------------------------------------------------------------------------------

    def clock(self) -> datetime:
        """The virtual time as the domain's clock."""
        return START + timedelta(microseconds=self.now)

    def monotonic(self) -> float:
        """Virtual seconds since the start."""
        return self.now / _SECOND

    def spawn(
        self,
        actor: str,
        body: Callable[[], Any],
        *,
        after: float = 0.0,
        limit: float | None = None,
        daemon: bool = False,
    ) -> Task:
        """Run `body` in `after` seconds, for at most `limit` seconds."""
        begins = self.now + int(after * _SECOND)
        task = Task(actor, body, None if limit is None else begins + int(limit * _SECOND), daemon)
        self.busy += not daemon
        self._push(begins, task)
        return task

    def sleep(self, seconds: float) -> None:
        """Let other tasks run for a while."""
        if self.closed:
            raise GreenletExit
        task = self._running()
        wakes = self.now + int(seconds * _SECOND)
        if task.deadline is not None and wakes >= task.deadline:
            task.doom = task.doom or TIMED_OUT
            wakes = max(task.deadline, self.now)
        self._push(wakes, task)
        self._hub.switch()

    def wait(self, other: Task, seconds: float | None = None) -> Ended | None:
        """Wait for the end of a task. None if it has not ended after `seconds`."""
        if other.ended is None:
            task = self._running()
            other._waiters.append(task)
            if seconds is not None:
                self._push(self.now + int(seconds * _SECOND), task)
            self._hub.switch()
        return other.ended

    def crash(self, seen_as: Ended, *, at_once: bool = True) -> None:
        """End the running task immediately. None of its code runs any more, not even `except` and `finally`.

        Tasks that wait for it see its end now, or only after its time limit.
        """
        task = self._running()
        if at_once or task.deadline is None:
            self._drop(task, seen_as)
        else:
            task.doom = TIMED_OUT
            self._push(max(task.deadline, self.now), task)
        self._hub.switch()

    # For the driver -------------------------------------------------------------------------------------------------

    def run(self, until: float | None = None) -> None:
        """Run the next entries until there are no more, or up to a time in seconds."""
        limit = None if until is None else int(until * _SECOND)
        heap = self._heap
        while heap and not self.halted:
            if limit is not None and heap[0][0] > limit:
                self.now = limit
                return
            at, _, task, token = heappop(heap)
            if task.token != token or task.ended is not None:
                continue
            self.now = at
            task.token += 1
            if task.doom is not None:
                self._drop(task, task.doom)
                continue
            if task.thread is None:
                task.thread = self._idle.pop() if self._idle else greenlet(self._work, self._hub)
            self.current = task
            task.thread.switch(task)
            self.current = None

    def close(self) -> None:
        """End the run: unfinished tasks are dropped, and every further effect fails."""
        self.closed = True
        self._heap.clear()
        self._dropped.clear()
        self._idle.clear()

    def _work(self, task: Task) -> None:
        """Run one task after another. A new greenlet for each task takes three times as long as a reused one."""
        while True:
            self._live(task)
            task.thread = None
            self._idle.append(getcurrent())
            task = self._hub.switch()

    def _live(self, task: Task) -> None:
        body, task._body = task._body, None
        try:
            ended = Ended(body() if body else None)
        except Exception as error:  # noqa: BLE001 - a function's exception is its result for the caller
            ended = self._error_of(error)
        self._end(task, ended)

    def _drop(self, task: Task, ended: Ended) -> None:
        if task.thread is not None:
            self._dropped.append(task.thread)  # garbage collection would run its `finally`
        self._end(task, ended)

    def _end(self, task: Task, ended: Ended) -> None:
        task.ended = ended
        self.busy -= not task.daemon
        for waiter in task._waiters:
            self._push(self.now, waiter)
        task._waiters.clear()

    def _push(self, at: int, task: Task) -> None:
        heappush(self._heap, (at, next(self._order), task, task.token))

    def _running(self) -> Task:
        if self.current is None:
            raise RuntimeError("only a task can sleep, wait or crash")
        return self.current
