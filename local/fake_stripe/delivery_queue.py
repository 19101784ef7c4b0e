"""A queue that delivers items later, one after another, on its own thread."""

import heapq
import threading
import time
from collections.abc import Callable
from itertools import count


class DeliveryQueue[Item]:
    """Calls `deliver` for each item when it is due. Items that are due at the same time keep their order."""

    def __init__(self, deliver: Callable[[Item], None], name: str) -> None:
        self._deliver = deliver
        self._name = name
        self._due: list[tuple[float, int, Item]] = []  # a heap
        self._numbers = count()
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._stopped = False

    def take(self, item: Item, delay_seconds: float = 0.0) -> None:
        """Deliver `item` after `delay_seconds`, or never after `stop`. The first item starts the thread."""
        with self._changed:
            if self._stopped:
                return
            heapq.heappush(self._due, (time.monotonic() + delay_seconds, next(self._numbers), item))
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
                self._thread.start()
            self._changed.notify()

    def hurry(self, item: Item) -> None:
        """Deliver `item` now if it is still waiting."""
        with self._changed:
            now = time.monotonic()
            self._due = [(now if other is item else due, number, other) for due, number, other in self._due]
            heapq.heapify(self._due)
            self._changed.notify()

    def drop(self) -> None:
        """Discard all waiting items."""
        with self._changed:
            self._due.clear()

    def stop(self) -> None:
        """Discard all waiting items and end the thread, without waiting for a delivery in progress."""
        with self._changed:
            self._due.clear()
            self._stopped = True
            self._changed.notify()

    def _run(self) -> None:
        while item := self._next():
            self._deliver(item)

    def _next(self) -> Item | None:
        with self._changed:
            while not self._stopped:
                wait_seconds = self._due[0][0] - time.monotonic() if self._due else None
                if wait_seconds is not None and wait_seconds <= 0:
                    return heapq.heappop(self._due)[2]
                self._changed.wait(wait_seconds)
            return None
