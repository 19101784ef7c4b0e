"""Every effect of a function on the world outside. At each one, other tasks may run and faults may strike.

An effect is a method call of a store, the gateway, the queue, the workflow or the files. Other tasks cannot see what
a function does between two effects. The pause before an effect is therefore also the pause after the last one, and
these are all points where a crash or another actor can make a difference.
"""

from collections.abc import Callable, Iterator, Mapping
from enum import Enum
from typing import Any, NamedTuple

from greenlet import GreenletExit

from payments.domain.payment import Payment
from simulation.faults import Chaos, Fate, Mishap
from simulation.scheduler import TIMED_OUT, Ended, Scheduler

CRASHED = Ended(error="Runtime.ExitError", cause="the function crashed")


GATEWAY_TAKES_SECONDS = 23.0
"""The longest time of a gateway call: the time-outs of `adapters/stripe/gateway.py`."""


class Throttled(Exception):
    """The service rejected the request, or its answer was lost."""


class Entry(NamedTuple):
    """A line of the trace: time (microseconds), actor, effect, its arguments, and its result."""

    at: int
    actor: str
    effect: str
    arguments: tuple[Any, ...]
    outcome: Any


class Effects:
    """Makes proxies that turn method calls into effects, and stores the trace of a run."""

    def __init__(self, scheduler: Scheduler, chaos: Chaos) -> None:
        self.trace: list[Entry] = []
        self.count = 0
        self._scheduler = scheduler
        self._chaos = chaos
        self._random = chaos.random.random

    def of(
        self,
        name: str,
        target: Any,
        *,
        fates: tuple[Fate, ...] = tuple(Fate),
        once: tuple[str, ...] = (),
        prepare: Callable[[str, tuple[Any, ...]], None] | None = None,
    ) -> Any:
        """`target` with every method turned into an effect that may meet `fates`. Requests of the methods in `once`
        carry a token, so that an SDK retry changes nothing. `prepare` is called right before an effect."""
        return _Proxy(self, name, target, fates, once, prepare)

    def note(self, actor: str, effect: str, *arguments: Any, outcome: Any = None) -> None:
        """Add an action to the trace that is not an effect of a function: of the gateway, AWS or an operator."""
        self.trace.append(Entry(self._scheduler.now, actor, effect, arguments, outcome))

    def perform(self, call: Callable[[], Any], fates: tuple[Fate, ...], repeatable: bool, slow: bool) -> Any:
        """Perform one effect of the running function, with the fate drawn for it."""
        chaos = self._chaos
        self._pause()
        if slow and chaos.mishap(Mishap.SLOW_GATEWAY):
            self._scheduler.sleep(GATEWAY_TAKES_SECONDS * self._random())
        fate = chaos.fate()
        if fate not in fates or (fate is Fate.REPEATED and not repeatable):
            fate = Fate.FINE
        self.count += 1
        if fate is not Fate.FINE:
            chaos.struck[fate.value] += 1
        if fate is Fate.CRASH_BEFORE:
            self._crash()
        if fate is Fate.REFUSED:
            raise Throttled("the request was refused")
        raised: Exception | None = None
        result = None
        try:
            result = call()
            if fate is Fate.REPEATED:
                result = call()
            if isinstance(result, Iterator):
                result = iter(list(result))
        except Exception as error:  # noqa: BLE001 - it is the effect's result, raised below
            raised = error
        if fate is Fate.CRASH_AFTER:
            self._crash()
        if raised:
            raise raised
        if fate is Fate.ANSWER_LOST:
            raise Throttled("no answer came back")
        return result

    def _pause(self) -> None:
        task = self._scheduler.current
        if self._scheduler.closed or task is None:
            raise GreenletExit
        drawn = self._random()
        seconds = 0.002 + task.slowness * drawn * drawn * drawn
        if self._chaos.mishap(Mishap.STALL):
            seconds += 90.0 * self._random()
        self._scheduler.sleep(seconds)

    def _crash(self) -> None:
        at_once = self._random() < 0.7
        task = self._scheduler.current
        self.note(task.actor if task else "", "crashes")
        self._scheduler.crash(CRASHED if at_once else TIMED_OUT, at_once=at_once)


class _Proxy:
    """Stands for `target`: its methods are effects, its other attributes are those of the target."""

    def __init__(
        self,
        effects: Effects,
        name: str,
        target: Any,
        fates: tuple[Fate, ...],
        once: tuple[str, ...],
        prepare: Callable[[str, tuple[Any, ...]], None] | None,
    ) -> None:
        self._parts = (effects, name, target, fates, once, prepare)

    def __getattr__(self, method: str) -> Any:
        effects, name, target, fates, once, prepare = self._parts
        function = getattr(target, method)
        if not callable(function) or isinstance(function, type):
            return function
        effect, repeatable = f"{name}.{method}", method not in once
        trace, scheduler = effects.trace, effects._scheduler

        def perform(*arguments: Any, **options: Any) -> Any:
            actor = scheduler.current.actor if scheduler.current else ""
            given = (*arguments, *options.values())
            happened = False

            def call() -> Any:
                nonlocal happened
                if prepare:
                    prepare(method, arguments)
                happened = True
                try:
                    result = function(*arguments, **options)
                except Exception as error:
                    trace.append(Entry(scheduler.now, actor, effect, given, error))
                    raise
                trace.append(Entry(scheduler.now, actor, effect, given, result))
                return result

            try:
                return effects.perform(call, fates, repeatable, slow=bool(prepare))
            except Throttled as error:
                trace.append(Entry(scheduler.now, actor, effect, () if happened else given, error))
                raise

        self.__dict__[method] = perform
        return perform


def shown(value: Any) -> str:
    """A short text for a value of the trace."""
    match value:
        case Payment():
            return f"{value.payment_id} v{value.version} {value.status} {value.gateway_reference}".rstrip()
        case Exception():
            return f"! {type(value).__name__}: {str(value)[:120]}"
        case Enum():
            return str(value.value)
        case Mapping():
            return "{" + ", ".join(f"{key}: {shown(part)}" for key, part in value.items() if part) + "}"
        case tuple() | list() if not hasattr(value, "_fields"):
            return ", ".join(map(shown, value))
        case _ if hasattr(value, "__dataclass_fields__"):
            parts = {name: getattr(value, name) for name in value.__dataclass_fields__}
            return f"{type(value).__name__}{shown(parts)}"
        case _ if isinstance(value, Iterator) or callable(value):
            return "…"
    return str(value)
