"""AWS around our functions: it invokes and retries them, gives up, and stores their messages."""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from math import inf
from typing import Any

from fakes.batch_files import MemoryBatchFiles
from fakes.payment_queue import require_one_request
from fakes.queue_delivery import MemoryDelivery
from payments.adapters.sqs import LONGEST_DELAY_SECONDS
from payments.ports.payment_queue import QueuedPayment, QueueRefused
from simulation.faults import Chaos, Mishap
from simulation.machine import Execution, Machine
from simulation.scheduler import Ended, Scheduler, Task

VISIBILITY_SECONDS = 360
MESSAGES_A_CALL = 10
MAX_RECEIVES = 5
CONCURRENCY = 2
"""The queue's settings, as in `lib/features/batch_queue.py`, which needs cdktf."""
ASYNC_RETRIES_AFTER_SECONDS = (60.0, 120.0)
KEPT_WHILE_THROTTLED_SECONDS = 6 * 3600.0
"""Lambda retries an asynchronous invocation twice, and one that it cannot start for six hours (Developer Guide, "How
Lambda handles errors and retries with asynchronous invocation")."""


LEAST_PART_BYTES = 64
"""The smallest part of an upload but the last: a few rows."""


class CallLost(Exception):
    """The connection to Lambda broke. The function may or may not run."""


class TooManyRequests(Exception):
    """Lambda starts no more functions at this time."""


def error_of(error: Exception) -> Ended:
    """An exception as Lambda reports it: its class by name, its text in a JSON object."""
    return Ended(error=type(error).__name__, cause=json.dumps({"errorMessage": str(error)}))


@dataclass(frozen=True, slots=True)
class Context:
    """The invocation context of a handler."""

    request_id: str
    seconds_left: Callable[[], float]


Handler = Callable[[Any, Context], Any]


class Functions:
    """Lambda. Handlers receive and return JSON values."""

    def __init__(self, scheduler: Scheduler, chaos: Chaos) -> None:
        self._scheduler = scheduler
        self._chaos = chaos
        self._handlers: dict[str, tuple[Handler, float]] = {}
        self._requests = 0

    def add(self, name: str, handler: Handler, timeout_seconds: float) -> None:
        """Deploy a function."""
        self._handlers[name] = (handler, timeout_seconds)

    def call(self, name: str, event: Any, *, request_id: str = "", about: str = "") -> Task:
        """Invoke a function. The task ends as its caller sees it end. `about` names the invocation in the trace."""
        scheduler, chaos = self._scheduler, self._chaos
        handler, timeout_seconds = self._handlers[name]
        actor = f"{name} {about}" if about else name
        if chaos.blackout.holds(scheduler.monotonic()):
            chaos.struck["blackout"] += 1
            return scheduler.spawn(actor, _raiser(TooManyRequests("rate exceeded")), after=0.05)
        after = 20.0 * chaos.random.random() if chaos.mishap(Mishap.LATE_START) else 0.01
        ends = scheduler.monotonic() + after + timeout_seconds
        context = Context(request_id or self.request_id(), lambda: ends - scheduler.monotonic())
        sent = json.dumps(event)

        def run() -> Any:
            answer = handler(json.loads(sent), context)
            return json.loads(json.dumps(answer)) if answer and name != "sweep" else None

        task = scheduler.spawn(actor, run, after=after, limit=timeout_seconds)
        task.slowness = chaos.random.choice((0.02, 0.1, 0.5, 3.0))
        if chaos.mishap(Mishap.CALL_LOST):
            return scheduler.spawn(actor, _raiser(CallLost("connection reset")), after=2.0 * chaos.random.random())
        return task

    def start(self, name: str, event: Any, about: str = "") -> None:
        """Invoke a function without waiting for it. Lambda stores the event and retries it if the run fails."""
        for _ in range(2 if self._chaos.mishap(Mishap.DOUBLED) else 1):
            request_id = self.request_id()
            self._scheduler.spawn(f"lambda {name}", partial(self._see_through, name, event, request_id, about))

    def request_id(self) -> str:
        """An id for an invocation."""
        self._requests += 1
        return f"request-{self._requests}"

    def _see_through(self, name: str, event: Any, request_id: str, about: str) -> None:
        pauses = list(ASYNC_RETRIES_AFTER_SECONDS)
        gives_up = self._scheduler.monotonic() + KEPT_WHILE_THROTTLED_SECONDS
        while True:
            ended = self._scheduler.wait(self.call(name, event, request_id=request_id, about=about))
            if ended is None or ended.well:
                return
            if ended.error == TooManyRequests.__name__ and self._scheduler.monotonic() < gives_up:
                self._scheduler.sleep(300.0)
            elif pauses:
                self._scheduler.sleep(pauses.pop(0))
            else:
                return


def _raiser(error: Exception) -> Callable[[], None]:
    def fail() -> None:
        raise error

    return fail


class StepFunctionsClient:
    """The SDK's `start_execution`. A name can be used only once."""

    class exceptions:  # noqa: N801 - the SDK's name
        """The client's exceptions."""

        class ExecutionAlreadyExists(Exception):
            """Another execution has the name."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine

    def start_execution(self, *, stateMachineArn: str, name: str, input: str) -> None:  # noqa: N803, ARG002
        """Start an execution. A repeated call with the same input has no effect while it runs."""
        state = json.loads(input)
        there: Execution | None = self._machine.executions.get(name)
        if there is None:
            self._machine.start(name, state)
        elif there.status != "RUNNING" or there.input != state:
            raise self.exceptions.ExecutionAlreadyExists(name)


@dataclass(slots=True)
class Message:
    """A message in the queue. No dispatcher can process one with `poison`."""

    number: int
    body: str
    visible_at: float
    receives: int = 0
    poison: bool = False


class Queue:
    """SQS with its event source mapping: passes messages to `dispatch`, up to ten at a time, in two calls at a time.

    A failed message returns after the visibility timeout, five times, and then goes to the dead-letter queue.
    """

    def __init__(self, scheduler: Scheduler, chaos: Chaos, functions: Functions) -> None:
        self.messages: dict[int, Message] = {}
        self.dead_letters: list[Message] = []
        self.delivers = True
        self._scheduler = scheduler
        self._chaos = chaos
        self._functions = functions
        self._running = 0
        self._next_look = inf
        self._numbers = 0

    def send(self, payments: Sequence[QueuedPayment]) -> None:
        """Queue the payments. Sometimes accepts only some of them and raises an error."""
        require_one_request(payments)
        refuses = not self._chaos.over and self._chaos.random.random() < 0.03
        taken = payments[: len(payments) // 2] if refuses else payments
        for payment in taken:
            for _ in range(2 if self._chaos.mishap(Mishap.DOUBLED) else 1):
                self.put(json.dumps(asdict(payment)))
        if refuses:
            raise QueueRefused(f"{len(payments) - len(taken)} of {len(payments)} messages were rejected")

    def length(self) -> int:
        """How many messages wait or are being processed."""
        return len(self.messages)

    def put_back(self, body: str, seconds: int) -> None:
        """Queue a message again, hidden for so many seconds."""
        self.put(body, hidden_seconds=min(seconds, LONGEST_DELAY_SECONDS))

    def put(self, body: str, *, poison: bool = False, hidden_seconds: float = 0.0) -> None:
        """Queue a message unchanged."""
        self._numbers += 1
        message = Message(self._numbers, body, self._scheduler.monotonic() + hidden_seconds, poison=poison)
        self.messages[message.number] = message
        self.look_again(hidden_seconds + self._chaos.random.random())

    def look_again(self, after: float) -> None:
        """Deliver waiting messages after some seconds, unless a delivery is already planned earlier."""
        at = self._scheduler.monotonic() + after
        if at < self._next_look:
            self._next_look = at
            self._scheduler.spawn("queue", lambda: self._look(at), after=after)

    def _look(self, at: float) -> None:
        if at == self._next_look:
            self._next_look = inf
            self._deliver()

    def redrive(self) -> None:
        """Return the dead letters without `poison` to the queue, as an operator does after an incident."""
        back = [message for message in self.dead_letters if not message.poison]
        self.dead_letters = [message for message in self.dead_letters if message.poison]
        for message in back:
            self.put(message.body)

    def _deliver(self) -> None:
        now = self._scheduler.monotonic()
        later = [message.visible_at for message in self.messages.values() if message.visible_at > now]
        if later:
            self.look_again(min(later) - now + 0.01)
        if not self.delivers or self._running >= CONCURRENCY:
            return
        visible = [message for message in self.messages.values() if message.visible_at <= now]
        for message in [message for message in visible if message.receives >= MAX_RECEIVES]:
            visible.remove(message)
            self.dead_letters.append(self.messages.pop(message.number))
        self._chaos.random.shuffle(visible)
        taken = visible[: self._chaos.random.randint(1, MESSAGES_A_CALL)]
        if not taken:
            return
        for message in taken:
            message.receives += 1
            message.visible_at = now + VISIBILITY_SECONDS
        self._running += 1
        records = [{"messageId": str(message.number), "body": message.body} for message in taken]
        if len(visible) > len(taken):
            self.look_again(0.1)
        ended = self._scheduler.wait(self._functions.call("dispatch", {"Records": records}))
        self._running -= 1
        failed = (
            {failure["itemIdentifier"] for failure in ended.value["batchItemFailures"]}
            if ended and ended.well
            else None
        )
        for message in taken:
            done = failed is not None and str(message.number) not in failed
            if done and not self._chaos.mishap(Mishap.DOUBLED):
                self.messages.pop(message.number, None)
        self.look_again(0.1)


class Delivery(MemoryDelivery):
    """The switch of the event source mapping. A change takes some seconds."""

    def __init__(self, queue: Queue, scheduler: Scheduler) -> None:
        super().__init__()
        self._queue = queue
        self._scheduler = scheduler

    def switch(self, *, on: bool) -> None:
        """Switch the delivery on or off, after some seconds."""
        super().switch(on=on)

        def take_effect() -> None:
            self._queue.delivers = self.on
            self._queue.look_again(0.0)

        self._scheduler.spawn("mapping", take_effect, after=5.0)


class Files(MemoryBatchFiles):
    """The bucket."""

    def __init__(self) -> None:
        super().__init__(chunk_bytes=4096, least_part_bytes=LEAST_PART_BYTES)
