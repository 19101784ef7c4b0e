"""Who runs when: tasks that take turns in one thread, on a clock of their own.

A task is a greenlet. It runs until it sleeps or waits, and what it does in between nobody else sees half done. The
heap of what comes next is all there is to time: it jumps from one entry to the next. Nothing here is random; the same
calls give the same order.
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
    """How a task ended: with a value, or with an error's name and text, as AWS would tell them to the caller."""

    value: Any = None
    error: str = ""
    cause: str = ""

    @property
    def well(self) -> bool:
        """Whether it came to its end without an error."""
        return not self.error


TIMED_OUT = Ended(error="Sandbox.Timedout", cause="the function ran into its time limit")


class Task:
    """Something that runs. `deadline` is when it is dropped wherever it stands, in microseconds; None: never.
    A `daemon` is not waited for."""

    __slots__ = ("_body", "_waiters", "actor", "daemon", "deadline", "doom", "ended", "pace", "thread", "token")

    def __init__(self, actor: str, body: Callable[[], Any], deadline: int | None, daemon: bool) -> None:
        self.actor = actor
        self.deadline = deadline
        self.daemon = daemon
        self.pace = 1.0
        self.ended: Ended | None = None
        self.doom: Ended | None = None
        self.token = 0
        self.thread: greenlet | None = None
        self._body: Callable[[], Any] | None = body
        self._waiters: list[Task] = []


class Scheduler:
    """Runs tasks in virtual time. `error_of` tells how an exception that ends a task is reported."""

    def __init__(self, error_of: Callable[[Exception], Ended]) -> None:
        self.now = 0
        self.current: Task | None = None
        self.closed = False
        self.halted = False
        """Set by whoever has seen enough: nothing more runs."""
        self.busy = 0
        """How many tasks are not at their end, daemons left out."""
        self._error_of = error_of
        self._heap: list[tuple[int, int, Task, int]] = []
        self._order = count()
        self._hub = getcurrent()
        self._dropped: list[greenlet] = []
        self._idle: list[greenlet] = []

    # What tasks call ------------------------------------------------------------------------------------------------

    def clock(self) -> datetime:
        """The virtual time as the domain's clock tells it."""
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
        """Have `body` run `after` seconds from now, for at most `limit` seconds."""
        begins = self.now + int(after * _SECOND)
        task = Task(actor, body, None if limit is None else begins + int(limit * _SECOND), daemon)
        self.busy += not daemon
        self._push(begins, task)
        return task

    def sleep(self, seconds: float) -> None:
        """Let others run for a while."""
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
        """Wait for a task's end; None if it has not come after `seconds`."""
        if other.ended is None:
            task = self._running()
            other._waiters.append(task)
            if seconds is not None:
                self._push(self.now + int(seconds * _SECOND), task)
            self._hub.switch()
        return other.ended

    def crash(self, seen_as: Ended, *, at_once: bool = True) -> None:
        """End the running task here and now: nothing of it runs any more, no `except` and no `finally`.

        Whoever waits for it is told now, or only when its time limit is over.
        """
        task = self._running()
        if at_once or task.deadline is None:
            self._drop(task, seen_as)
        else:
            task.doom = TIMED_OUT
            self._push(max(task.deadline, self.now), task)
        self._hub.switch()

    # What drives them -----------------------------------------------------------------------------------------------

    def run(self, until: float | None = None) -> None:
        """Run what comes next until nothing does, or up to a time in seconds."""
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
        """End the run: whatever is still under way is gone, and finds every door shut."""
        self.closed = True
        self._heap.clear()
        self._dropped.clear()
        self._idle.clear()

    def _work(self, task: Task) -> None:
        """Run one task after the other: a new greenlet for each takes three times as long as one that is used again."""
        while True:
            self._live(task)
            task.thread = None
            self._idle.append(getcurrent())
            task = self._hub.switch()

    def _live(self, task: Task) -> None:
        body, task._body = task._body, None
        try:
            ended = Ended(body() if body else None)
        except Exception as error:  # noqa: BLE001 - a function's exception is its answer to whoever called it
            ended = self._error_of(error)
        self._end(task, ended)

    def _drop(self, task: Task, ended: Ended) -> None:
        if task.thread is not None:
            self._dropped.append(task.thread)  # collected, it would run its `finally`
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
