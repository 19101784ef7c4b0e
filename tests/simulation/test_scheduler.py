"""The simulation's own parts: virtual time, crashes, repeatability, and the interpreter of the state machine."""

import hashlib
import os
import re
import subprocess
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

import pytest

from lib.dispatch_rate import MESSAGES_A_CALL
from lib.features.state_machine import Step, definition
from payments.domain.errors import UNEXPECTED
from simulation import cloud
from simulation.cloud import error_of
from simulation.effects import CRASHED
from simulation.faults import Chaos, Fate
from simulation.machine import Execution, Machine
from simulation.report import time_line
from simulation.run import run
from simulation.scheduler import TIMED_OUT, Ended, Scheduler, Task
from simulation.world import TIMEOUT_SECONDS

ROOT = Path(__file__).parents[2]
DISPATCH_TIMEOUT_SECONDS = 60
VISIBILITY_TIMEOUTS = 6
STEP = Step("validate", 15), Step("charge", 60), Step("record", 15), Step("audit", 15)


@pytest.fixture
def scheduler() -> Scheduler:
    return Scheduler(error_of)


# Time and tasks ------------------------------------------------------------------------------------------------------


def test_time_when_tasks_sleep_then_they_wake_in_its_order(scheduler: Scheduler) -> None:
    woken: list[tuple[str, float]] = []

    def sleeper(name: str, seconds: float) -> Callable[[], None]:
        def body() -> None:
            scheduler.sleep(seconds)
            woken.append((name, scheduler.monotonic()))

        return body

    for name, seconds in {"late": 86_400.0, "early": 0.001, "middle": 60.0}.items():
        scheduler.spawn(name, sleeper(name, seconds))
    scheduler.run()

    assert woken == [("early", 0.001), ("middle", 60.0), ("late", 86_400.0)]


def test_time_when_it_is_run_up_to_a_moment_then_later_tasks_still_wait(scheduler: Scheduler) -> None:
    task = scheduler.spawn("later", lambda: "done", after=100.0)
    scheduler.run(until=99.0)
    assert (task.ended, scheduler.busy, scheduler.monotonic()) == (None, 1, 99.0)
    scheduler.run(until=101.0)
    assert (task.ended, scheduler.busy) == (Ended("done"), 0)


def test_crash_skips_finally_blocks_and_is_reported_to_the_waiting_task(scheduler: Scheduler) -> None:
    ran: list[str] = []

    def crashes() -> None:
        try:
            scheduler.sleep(1.0)
            scheduler.crash(CRASHED)
            ran.append("the line after")
        except BaseException:
            ran.append("except")
            raise
        finally:
            ran.append("finally")

    doomed = scheduler.spawn("doomed", crashes)
    waiting = scheduler.spawn("waiting", lambda: scheduler.wait(doomed))
    scheduler.run()

    assert waiting.ended == Ended(CRASHED)
    assert ran == []


def test_delayed_crash_is_reported_to_the_waiting_task_at_its_time_limit(scheduler: Scheduler) -> None:
    doomed = scheduler.spawn("doomed", lambda: scheduler.crash(CRASHED, at_once=False), limit=60.0)

    def wait() -> tuple[Ended | None, float]:
        return scheduler.wait(doomed), scheduler.monotonic()

    waiting = scheduler.spawn("waiting", wait)
    scheduler.run()

    assert waiting.ended == Ended((TIMED_OUT, 60.0))


def test_limit_when_a_task_runs_into_it_then_it_is_dropped_there(scheduler: Scheduler) -> None:
    ran: list[str] = []

    def body() -> None:
        scheduler.sleep(14.0)
        ran.append("before")
        scheduler.sleep(2.0)
        ran.append("after")

    task = scheduler.spawn("slow", body, limit=15.0)
    scheduler.run()

    assert (ran, task.ended, scheduler.monotonic()) == (["before"], TIMED_OUT, 15.0)


def test_wait_when_it_is_over_before_the_task_then_the_task_goes_on(scheduler: Scheduler) -> None:
    slow = scheduler.spawn("slow", lambda: scheduler.sleep(10.0))
    waiting = scheduler.spawn("waiting", lambda: (scheduler.wait(slow, 5.0), scheduler.monotonic()))
    scheduler.run()

    assert waiting.ended == Ended((None, 5.0))
    assert slow.ended == Ended(None)


def test_exception_of_a_task_is_reported_as_by_lambda(scheduler: Scheduler) -> None:
    task = scheduler.spawn("wrong", lambda: int("no number"))
    scheduler.run()

    assert task.ended
    assert task.ended.error == "ValueError"
    assert "no number" in task.ended.cause


# Repeatability -------------------------------------------------------------------------------------------------------


def digest(seeds: range) -> str:
    """The traces of some runs as one hash."""
    lines = [line for seed in seeds for line in time_line(run(seed, keep_trace=True))]
    assert len(lines) > 1000
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def test_seed_gives_the_same_trace_in_other_processes() -> None:
    seeds = range(5, 10)
    code = f"from tests.simulation.test_scheduler import digest; print(digest({seeds!r}))"
    found = {
        subprocess.run(
            [sys.executable, "-c", f"import simulation; {code}"],
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            check=True,
            capture_output=True,
            text=True,
        ).stdout.strip()
        for hash_seed in ("1", "2")
    }

    assert found == {digest(seeds)}


def test_seed_when_it_is_another_then_the_trace_is_another() -> None:
    assert digest(range(5, 8)) != digest(range(6, 9))


def test_faults_when_they_are_over_then_none_strikes_any_more() -> None:
    chaos = Chaos(Random(1))
    chaos.over = True
    assert {chaos.fate() for _ in range(1000)} == {Fate.FINE}


# The state machine ---------------------------------------------------------------------------------------------------


class Steps:
    """Replaces the functions: each call takes the next answer of a list, an exception or a value. The last repeats."""

    def __init__(self, scheduler: Scheduler, **answers: list[Any]) -> None:
        self.scheduler = scheduler
        self.answers = answers
        self.calls: list[tuple[str, float, Any]] = []
        resources: dict[str, Any] = {step.arn: self._resource(step.arn) for step in STEP}
        resources["arn:aws:states:::sns:publish"] = self._resource("publish")
        self.machine = Machine(definition(*STEP, "topic"), resources, scheduler, Random(1))

    def run(self, state: dict[str, Any] | None = None) -> Execution:
        execution = self.machine.start("pay_1", state or {"payment_id": "pay_1"})
        self.scheduler.run()
        return execution

    def times(self, name: str) -> list[float]:
        return [at for called, at, _ in self.calls if called == name]

    def given(self, name: str) -> Any:
        return [state for called, _, state in self.calls if called == name][-1]

    def _resource(self, name: str) -> Callable[[Any], Task]:
        def begin(state: Any) -> Task:
            self.calls.append((name, self.scheduler.monotonic(), state))
            answers = self.answers.get(name, [self._fine(name)])
            answer = answers.pop(0) if len(answers) > 1 else answers[0]
            return self.scheduler.spawn(name, lambda: self._answered(answer))

        return begin

    def _answered(self, answer: Any) -> Any:
        if isinstance(answer, Exception):
            raise answer
        return answer() if callable(answer) else answer

    def _fine(self, name: str) -> dict[str, Any]:
        event = {"event_type": "payment", "status": "succeeded", "event_id": "pay_1:3"}
        more: dict[str, dict[str, Any]] = {"charge": {"outcome": {}}, "audit": {"event": event}}
        return {"payment_id": "pay_1", **more.get(name, {})}


WAY = ["Validate", "IsItRefused", "Charge", "MustItWait", "Record", "Audit", "Publish"]


def test_machine_runs_every_step_and_publishes_the_event(scheduler: Scheduler) -> None:
    steps = Steps(scheduler)
    execution = steps.run()

    assert (execution.status, execution.visited) == ("SUCCEEDED", WAY)
    assert '"event_id": "pay_1:3"' in steps.given("publish")["Message"]
    assert steps.given("publish")["MessageAttributes"]["status"]["StringValue"] == "succeeded"


def test_machine_when_a_payment_is_refused_then_it_is_not_charged(scheduler: Scheduler) -> None:
    steps = Steps(scheduler, validate=[{"payment_id": "pay_1", "outcome": {"status": "rejected"}}])
    assert steps.run().visited == ["Validate", "IsItRefused", "Record", "Audit", "Publish"]


def test_machine_when_the_charge_asks_for_time_then_it_waits_as_long(scheduler: Scheduler) -> None:
    steps = Steps(scheduler, charge=[{"payment_id": "pay_1", "wait_seconds": 40}, {"payment_id": "pay_1"}])
    steps.run()

    first, second = steps.times("charge")
    assert second - first == pytest.approx(40.0)


def test_machine_retries_a_failing_step_by_the_error_table_and_catches_it(scheduler: Scheduler) -> None:
    steps = Steps(scheduler, charge=[ValueError("again and again")])
    execution = steps.run()

    times = steps.times("charge")
    waits = [after - before for before, after in pairwise(times)]
    assert len(waits) == UNEXPECTED.max_attempts
    for retry, wait in enumerate(waits):
        assert (
            0 <= wait <= min(UNEXPECTED.interval_seconds * UNEXPECTED.backoff_rate**retry, UNEXPECTED.max_delay_seconds)
        )
    assert steps.given("record")["error"]["Error"] == "ValueError"
    assert execution.status == "SUCCEEDED"


def test_machine_when_errors_differ_then_each_kind_has_retries_of_its_own(scheduler: Scheduler) -> None:
    class NotSent(Exception):
        """Named as the domain's."""

    errors: list[Any] = [NotSent("1"), ValueError("2")] * 3 + [{"payment_id": "pay_1"}]
    assert len(errors) - 1 > UNEXPECTED.max_attempts
    steps = Steps(scheduler, charge=errors)
    steps.run()
    assert "error" not in steps.given("record")


def test_machine_redrives_an_execution_from_its_failed_record_step(
    scheduler: Scheduler,
) -> None:
    steps = Steps(scheduler, record=[ValueError("full")])
    execution = steps.run()
    assert (execution.status, execution.error, execution.state) == ("FAILED", "ValueError", "Record")

    steps.answers["record"] = [{"payment_id": "pay_1"}]
    steps.machine.redrive(execution)
    scheduler.run()
    assert (execution.status, len(steps.times("charge"))) == ("SUCCEEDED", 1)


def test_machine_lets_a_timed_out_task_run_on_beside_its_retry(scheduler: Scheduler) -> None:
    ended: list[float] = []

    def slow() -> dict[str, Any]:
        scheduler.sleep(100.0)
        ended.append(scheduler.monotonic())
        return {"payment_id": "pay_1"}

    steps = Steps(scheduler, charge=[slow, {"payment_id": "pay_1"}])
    execution = steps.run()

    first, second = steps.times("charge")
    assert 65.0 <= second - first <= 66.0  # the step's limit and five seconds, and a retry within a second
    assert ended == [pytest.approx(first + 100.0)]
    assert execution.status == "SUCCEEDED"


# The numbers ---------------------------------------------------------------------------------------------------------


def test_limits_when_they_are_compared_then_those_of_the_infrastructure() -> None:
    features = "".join(path.read_text() for path in (ROOT / "lib" / "features").glob("*.py"))
    declared = re.findall(r'function\(\s*"(\w+)",\s*(\w+)', features)
    limits = {name: DISPATCH_TIMEOUT_SECONDS if seconds.isupper() else int(seconds) for name, seconds in declared}
    del limits["authorize"]  # permissions are fixed before a run begins
    del limits["backup"]  # it reads the tables and changes none
    del limits["anchor"]  # it reads the audit log and changes none
    del limits["refund"]  # the simulation has no refunds that we send
    assert limits == TIMEOUT_SECONDS

    settings = (ROOT / "lib" / "features" / "batch_queue.py").read_text()
    assert f'"maxReceiveCount": {cloud.MAX_RECEIVES}' in settings
    assert f"visibility_timeout_seconds={VISIBILITY_TIMEOUTS} * DISPATCH_TIMEOUT_SECONDS" in settings
    assert VISIBILITY_TIMEOUTS * DISPATCH_TIMEOUT_SECONDS == cloud.VISIBILITY_SECONDS
    assert cloud.MESSAGES_A_CALL == MESSAGES_A_CALL
    assert f"DISPATCH_TIMEOUT_SECONDS = {DISPATCH_TIMEOUT_SECONDS}\n" in settings
