"""The drill: each incident of docs/runbooks.md happens on the applied stack, its alarm fires, the entry's commands are
run, it is repaired, and the alarm clears.

`make test` drills the cheap ones, `make drill-oncall` all. A table of the times is printed at the end.
"""

import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from local.stack import LocalStack
from tests.e2e.conftest import Api, BatchFiles, Gateway, Payctl
from tests.e2e.oncall.alarm import Alarm
from tests.e2e.oncall.incidents import BATCH, INCIDENTS, Incident
from tests.e2e.oncall.scene import Scene, operate
from tests.e2e.oncall.times import TIMES, Times
from tests.waiting import eventually


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """All incidents with --all-incidents, else the cheap ones."""
    if "incident" not in metafunc.fixturenames:
        return
    chosen = [one for one in INCIDENTS if one.short or metafunc.config.getoption("all_incidents", default=False)]
    metafunc.parametrize("incident", chosen, ids=lambda incident: incident.alarm)


@pytest.fixture
def scene(
    api: Api, gateway: Gateway, local_stack: LocalStack, batch_file: BatchFiles, payctl: Payctl,
    new_id: Callable[[], str],
) -> Scene:  # fmt: skip
    """What the incidents use."""
    return Scene(api, gateway, local_stack, batch_file, payctl, new_id)


def test_incident_fires_its_alarm_and_is_over_after_its_runbook(
    incident: Incident, scene: Scene, tmp_path: Path, pytestconfig: pytest.Config
) -> None:
    alarm = Alarm(scene.client("cloudwatch"), incident.alarm, scene.outputs["environment_suffix"])
    with alarm.with_a_tenth_of_its_periods(incident.threshold):
        alarm.clears()  # what earlier tests did is over
        began = time.monotonic()
        with incident.happens(scene) as names:
            alarm.fires()
            fired = time.monotonic()
            operate(scene, incident.heading, names, tmp_path)
            operated = time.monotonic()
        alarm.clears()
        over = time.monotonic()
    pytestconfig.stash.setdefault(TIMES, []).append(Times(incident, fired - began, operated - fired, over - operated))


def test_new_cause_is_seen_although_the_alarm_of_another_one_fires(scene: Scene, pytestconfig: pytest.Config) -> None:
    """An operator's pause, a rejected key, and an outage: each fires its alarm beside the others, and clears alone."""
    if not pytestconfig.getoption("all_incidents", default=False):
        pytest.skip("it takes two minutes: make drill-oncall")
    names = ("batches-paused", "gateway-misconfigured", "gateway-unreachable")
    alarms = [Alarm(scene.client("cloudwatch"), name, scene.outputs["environment_suffix"]) for name in names]
    paused, misconfigured, unreachable = alarms
    with ExitStack() as shorter:
        for alarm in alarms:
            shorter.enter_context(alarm.with_a_tenth_of_its_periods())
            alarm.clears()
        scene.run("breaker", "pause", "--reason", "a drill", "--yes")
        try:
            paused.fires()
            scene.gateway.fault(kind="unauthorized", times=100_000)
            scene.until_the_alarm(misconfigured.short_name, scene.pay, every=2)
            assert paused.state == "ALARM"
            scene.run("breaker", "resume")
            paused.clears()
            scene.until_the_alarm(misconfigured.short_name, scene.pay, every=2)  # now it pauses the breaker
            scene.gateway.control("refuse_connections", {"seconds": 600})
            unreachable.fires()
            misconfigured.clears()
            scene.stack.accept_connections()
            misconfigured.fires()
            unreachable.clears()
        finally:
            scene.run("breaker", "resume")
            scene.stack.accept_connections()
            scene.gateway.behave()
        misconfigured.clears()


def test_wrong_file_is_stopped_by_the_commands_of_the_runbook(scene: Scene, tmp_path: Path) -> None:
    rows = "\n".join(f"{scene.new_id()},5,USD" for _ in range(20))
    scene.run("breaker", "pause", "--reason", "a drill", "--yes")  # otherwise the file may be charged before its pause
    try:
        name = scene.files.upload(f"payment_id,amount,currency\n{rows}\n")
        eventually("the file to be read", lambda: scene.files.line(name))
        printed = operate(scene, "A wrong file was uploaded", {BATCH: scene.files.batch_id(name)}, tmp_path)
    finally:
        scene.run("breaker", "resume")
    assert "canceled" in printed
    results = scene.files.result(name, "results")
    assert [line.split(",")[4] for line in results.splitlines()[1:]] == ["rejected"] * 20
