"""An interpreter of the Amazon States Language in virtual time, limited to what our state machine uses.

It runs the same definition that is deployed (`lib/features/state_machine.py`).
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Any

from simulation.scheduler import Ended, Scheduler, Task

State = dict[str, Any]
Resource = Callable[[Any], Task]
"""Starts the resource of a task state with its input."""
TIMEOUT = Ended(error="States.Timeout", cause="the task did not end in time")


@dataclass(slots=True)
class Execution:
    """One run of the state machine. `state` is its current or failed state; `visited` are its states so far."""

    name: str
    input: State
    state: str
    data: Any
    status: str = "RUNNING"
    error: str = ""
    visited: list[str] = field(default_factory=list)


class Machine:
    """Runs executions of one definition. `resources` maps a resource's ARN to the function that starts it."""

    def __init__(
        self,
        definition: Mapping[str, Any],
        resources: Mapping[str, Resource],
        scheduler: Scheduler,
        random: Random,
        note: Callable[..., None] = lambda *_, **__: None,
    ) -> None:
        self.executions: dict[str, Execution] = {}
        self._definition = definition
        self._states: Mapping[str, State] = definition["States"]
        self._resources = resources
        self._scheduler = scheduler
        self._random = random
        self._note = note

    def start(self, name: str, state: State) -> Execution:
        """Start an execution. The caller makes sure that the name is new."""
        execution = Execution(name, state, self._definition["StartAt"], state)
        self.executions[name] = execution
        self._scheduler.spawn(f"workflow {name}", lambda: self._run(execution), after=self._random.random())
        return execution

    def redrive(self, execution: Execution) -> None:
        """Continue a failed execution from the state in which it failed."""
        execution.status = "RUNNING"
        self._scheduler.spawn(f"workflow {execution.name}", lambda: self._run(execution))

    def _run(self, execution: Execution) -> None:
        while True:
            state = self._states[execution.state]
            execution.visited.append(execution.state)
            following: str | None
            match state["Type"]:
                case "Task":
                    following = self._task(execution, state)
                case "Choice":
                    following = _chosen(state, execution.data)
                case "Wait":
                    self._scheduler.sleep(_at(execution.data, state["SecondsPath"]))
                    following = state["Next"]
                case "Succeed":
                    execution.status = "SUCCEEDED"
                    return
                case other:
                    raise NotImplementedError(
                        f"the workflow has a state of type {other}, which this interpreter does not support"
                    )
            if following is None:
                return
            execution.state = following

    def _task(self, execution: Execution, state: State) -> str | None:
        given = execution.data
        sent = _resolved(state["Parameters"], given) if "Parameters" in state else given
        ended = self._with_retries(state, sent, execution.name)
        if ended.well:
            # a function's result is passed on as JSON
            execution.data = _placed(state, given, ended.value)
            if state.get("End"):
                execution.status = "SUCCEEDED"
                return None
            return str(state["Next"])
        for catcher in state.get("Catch", []):
            if _matches(catcher, ended.error):
                execution.data = _placed(catcher, given, {"Error": ended.error, "Cause": ended.cause})
                return str(catcher["Next"])
        execution.status, execution.error = "FAILED", ended.error
        self._note(f"workflow {execution.name}", f"failed in {execution.state}", outcome=ended.error)
        return None

    def _with_retries(self, state: State, sent: Any, name: str) -> Ended:
        retriers = state.get("Retry", [])
        retries = [0] * len(retriers)
        while True:
            task = self._resources[state["Resource"]](sent)
            ended = self._scheduler.wait(task, state.get("TimeoutSeconds")) or TIMEOUT
            if ended.well:
                return ended
            self._note(f"workflow {name}", "got", outcome=ended.error)
            place = next((place for place, retrier in enumerate(retriers) if _matches(retrier, ended.error)), None)
            if place is None or retries[place] >= retriers[place].get("MaxAttempts", 3):
                return ended
            self._scheduler.sleep(self._delay(retriers[place], retries[place]))
            retries[place] += 1

    def _delay(self, retrier: State, retries: int) -> float:
        longest = retrier.get("IntervalSeconds", 1) * retrier.get("BackoffRate", 2.0) ** retries
        longest = min(longest, retrier.get("MaxDelaySeconds", longest))
        return float(longest * self._random.random() if retrier.get("JitterStrategy") == "FULL" else longest)


def _matches(rule: State, error: str) -> bool:
    return "States.ALL" in rule["ErrorEquals"] or error in rule["ErrorEquals"]


def _chosen(state: State, data: Any) -> str:
    for choice in state["Choices"]:
        if _is_present(data, choice["Variable"]) is choice["IsPresent"]:
            return str(choice["Next"])
    return str(state["Default"])


def _is_present(data: Any, path: str) -> bool:
    try:
        _at(data, path)
    except KeyError:
        return False
    return True


def _at(data: Any, path: str) -> Any:
    """The value at a path such as `$.event.status`."""
    for name in path.removeprefix("$").split(".")[1:]:
        data = data[name]
    return data


def _placed(state: State, given: Any, result: Any) -> Any:
    """The data after a result: replaced by it, unchanged, or with the result in one of its fields."""
    path = state.get("ResultPath", "$")
    if path is None:
        return given
    return result if path == "$" else {**given, path.removeprefix("$."): result}


def _resolved(template: Mapping[str, Any], data: Any) -> dict[str, Any]:
    """Parameters with their paths resolved. Of the intrinsic functions only `States.JsonToString` is supported."""
    resolved: dict[str, Any] = {}
    for name, value in template.items():
        if isinstance(value, Mapping):
            resolved[name] = _resolved(value, data)
        elif not name.endswith(".$"):
            resolved[name] = value
        elif value.startswith("States.JsonToString("):
            resolved[name.removesuffix(".$")] = json.dumps(_at(data, value[len("States.JsonToString(") : -1]))
        else:
            resolved[name.removesuffix(".$")] = _at(data, value)
    return resolved
