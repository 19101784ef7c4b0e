"""payctl lane, on moto."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from payctl import prompts as asking
from payctl.failures import Exit
from payments.domain.batch_breaker import LaneState, PausedBy
from tests.unit.builders import NOON, batch_payment
from tests.unit.payctl_world import AwsWorld, aws_world

WHY = "the bank is down"


@pytest.fixture
def world(tmp_path: Path) -> Iterator[AwsWorld]:
    with aws_world(tmp_path) as world:
        yield world


def test_status_when_the_lane_is_open_then_counts_what_waits_and_what_died(world: AwsWorld) -> None:
    world.queue(batch_payment())
    world.dead_letter(batch_payment("pay_2"))
    told = json.loads(world.payctl("lane", "status", "--json").stdout)
    assert (told["paused"], told["delivery"]) == (False, "Enabled")
    assert (told["messages_waiting"], told["messages_under_way"], told["dead_letters"]) == (1, 0, 1)
    shown = world.payctl("lane", "status")
    assert "payctl dlq list" in shown.stderr


def test_status_when_the_gateway_paused_it_then_says_why_since_when_and_what_ends_it(world: AwsWorld) -> None:
    world.lane.pause(PausedBy.GATEWAY, "gateway_key_refused", NOON)
    world.lane.send_canary("pay_7")
    shown = world.payctl("lane", "status")
    for text in ("paused", "gateway_key_refused", "2026-11-21T12:00:00", "pay_7"):
        assert text in shown.stdout
    assert "resumes by itself" in shown.stderr


def test_pause_when_confirmed_by_flag_then_pauses_and_turns_the_delivery_off(world: AwsWorld) -> None:
    result = world.payctl("lane", "pause", "--reason", WHY, "--yes", "--json")
    assert json.loads(result.stdout)["paused_by"] == "operator"
    assert world.lane.state().reason == WHY
    assert not world.delivers()


def test_pause_when_nobody_can_be_asked_then_changes_nothing(world: AwsWorld) -> None:
    result = world.payctl("lane", "pause", "--reason", WHY)
    assert result.exit_code == Exit.USAGE
    assert "--yes" in result.stderr
    assert world.lane.state() == LaneState()
    assert world.delivers()


@pytest.mark.parametrize(("answer", "paused"), [("y", True), ("n", False)])
def test_pause_when_at_a_terminal_then_asks(
    answer: str, paused: bool, world: AwsWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asking, "at_a_terminal", lambda: True)
    result = world.payctl("lane", "pause", "--reason", WHY, stdin=f"{answer}\n")
    assert "Pause it?" in result.stderr
    assert world.lane.state().paused == paused


@pytest.mark.parametrize("reason", ["", "  ", "two\nlines", "x" * 201])
def test_pause_when_the_reason_is_no_reason_then_exits_2(reason: str, world: AwsWorld) -> None:
    assert world.payctl("lane", "pause", "--reason", reason, "--yes").exit_code == Exit.USAGE
    assert not world.lane.state().paused


def test_pause_when_the_gateway_paused_it_then_the_operator_takes_over(world: AwsWorld) -> None:
    world.lane.pause(PausedBy.GATEWAY, "gateway_key_refused", NOON)
    world.payctl("lane", "pause", "--reason", WHY, "--yes")
    assert (world.lane.state().paused_by, world.lane.state().reason) == ("operator", WHY)


def test_pause_when_an_operator_paused_it_before_then_keeps_the_first_reason(world: AwsWorld) -> None:
    world.lane.pause(PausedBy.OPERATOR, WHY, NOON)
    result = world.payctl("lane", "pause", "--reason", "another", "--yes")
    assert result.exit_code == Exit.DONE
    assert "paused already" in result.stderr
    assert world.lane.state().reason == WHY


@pytest.mark.parametrize("by", list(PausedBy))
def test_resume_when_paused_then_opens_the_lane_and_turns_the_delivery_on(by: PausedBy, world: AwsWorld) -> None:
    world.payctl("lane", "pause", "--reason", WHY, "--yes")
    world.lane.resume()
    world.lane.pause(by, WHY, NOON)
    result = world.payctl("lane", "resume", "--json")
    assert json.loads(result.stdout)["paused"] is False
    assert world.lane.state() == LaneState()
    assert world.delivers()


def test_resume_when_the_lane_is_open_then_says_so(world: AwsWorld) -> None:
    result = world.payctl("lane", "resume")
    assert result.exit_code == Exit.DONE
    assert "was not paused" in result.stderr
