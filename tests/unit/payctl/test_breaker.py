"""payctl breaker and its older name, payctl lane, on moto."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from payctl import prompts
from payctl.failures import Exit
from payments.domain.batch_breaker import BreakerState, PausedBy
from tests.unit.builders import NOON, batch_payment
from tests.unit.payctl.scenarios import PayctlScenario, payctl_scenario

WHY = "the bank is down"


@pytest.fixture
def scenario(tmp_path: Path) -> Iterator[PayctlScenario]:
    with payctl_scenario(tmp_path) as scenario:
        yield scenario


@pytest.mark.parametrize("command", ["breaker", "lane"])
def test_status_of_a_running_breaker_counts_messages_and_dead_letters(command: str, scenario: PayctlScenario) -> None:
    scenario.queue(batch_payment())
    scenario.dead_letter(batch_payment("pay_2"))
    printed = json.loads(scenario.payctl(command, "status", "--json").stdout)
    assert (printed["paused"], printed["delivery"]) == (False, "Enabled")
    assert (printed["messages_waiting"], printed["messages_under_way"], printed["dead_letters"]) == (1, 0, 1)
    shown = scenario.payctl(command, "status")
    assert "running" in shown.stdout
    assert "payctl dlq list" in shown.stderr


def test_status_of_a_gateway_pause_shows_reason_start_and_how_it_ends(scenario: PayctlScenario) -> None:
    scenario.breaker.pause(PausedBy.GATEWAY, "gateway_key_refused", NOON)
    scenario.breaker.send_probe("pay_7")
    shown = scenario.payctl("breaker", "status")
    for text in ("paused", "gateway_key_refused", "2026-11-21T12:00:00", "pay_7"):
        assert text in shown.stdout
    assert "resumes automatically" in shown.stderr


@pytest.mark.parametrize("command", ["breaker", "lane"])
def test_pause_confirmed_by_flag_pauses_and_disables_delivery(command: str, scenario: PayctlScenario) -> None:
    result = scenario.payctl(command, "pause", "--reason", WHY, "--yes", "--json")
    assert json.loads(result.stdout)["paused_by"] == "operator"
    assert scenario.breaker.state().reason == WHY
    assert not scenario.delivers()


def test_pause_changes_nothing_without_a_terminal_or_yes(scenario: PayctlScenario) -> None:
    result = scenario.payctl("breaker", "pause", "--reason", WHY)
    assert result.exit_code == Exit.USAGE
    assert "--yes" in result.stderr
    assert scenario.breaker.state() == BreakerState()
    assert scenario.delivers()


@pytest.mark.parametrize(("answer", "paused"), [("y", True), ("n", False)])
def test_pause_when_at_a_terminal_then_asks(
    answer: str, paused: bool, scenario: PayctlScenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prompts, "at_a_terminal", lambda: True)
    result = scenario.payctl("breaker", "pause", "--reason", WHY, stdin=f"{answer}\n")
    assert "Pause it?" in result.stderr
    assert scenario.breaker.state().paused == paused


@pytest.mark.parametrize("reason", ["", "  ", "two\nlines", "x" * 201])
def test_pause_when_the_reason_is_no_reason_then_exits_2(reason: str, scenario: PayctlScenario) -> None:
    assert scenario.payctl("breaker", "pause", "--reason", reason, "--yes").exit_code == Exit.USAGE
    assert not scenario.breaker.state().paused


def test_pause_when_the_gateway_paused_it_then_both_causes_are_shown(scenario: PayctlScenario) -> None:
    scenario.breaker.pause(PausedBy.GATEWAY, "gateway_key_refused", NOON)
    shown = scenario.payctl("breaker", "pause", "--reason", WHY, "--yes")
    assert (scenario.breaker.state().paused_by, scenario.breaker.state().operator_reason) == ("gateway", WHY)
    assert WHY in shown.stdout
    assert "gateway_key_refused" in shown.stdout
    assert "payctl breaker resume" in shown.stderr


def test_resume_when_the_gateway_is_a_cause_too_then_its_pause_stays(scenario: PayctlScenario) -> None:
    scenario.breaker.pause(PausedBy.OUTAGE, "no connection", NOON)
    scenario.breaker.pause(PausedBy.OPERATOR, WHY, NOON)
    result = scenario.payctl("breaker", "resume")
    assert "the gateway is still a cause" in result.stderr
    assert scenario.breaker.state().paused_by == PausedBy.OUTAGE
    scenario.payctl("breaker", "resume")
    assert not scenario.breaker.state().paused


def test_pause_keeps_the_first_reason_of_an_operators_earlier_pause(scenario: PayctlScenario) -> None:
    scenario.breaker.pause(PausedBy.OPERATOR, WHY, NOON)
    result = scenario.payctl("breaker", "pause", "--reason", "another", "--yes")
    assert result.exit_code == Exit.DONE
    assert "already paused" in result.stderr
    assert scenario.breaker.state().reason == WHY


@pytest.mark.parametrize("by", list(PausedBy))
def test_resume_when_paused_then_resumes_and_turns_the_delivery_on(by: PausedBy, scenario: PayctlScenario) -> None:
    scenario.payctl("breaker", "pause", "--reason", WHY, "--yes")
    scenario.breaker.resume(NOON)
    scenario.breaker.pause(by, WHY, NOON)
    result = scenario.payctl("breaker", "resume", "--json")
    assert json.loads(result.stdout)["paused"] is False
    assert not scenario.breaker.state().paused
    assert scenario.delivers()


def test_resume_when_not_paused_then_says_so(scenario: PayctlScenario) -> None:
    result = scenario.payctl("breaker", "resume")
    assert result.exit_code == Exit.DONE
    assert "was not paused" in result.stderr


def test_help_lists_breaker_and_marks_its_older_name(scenario: PayctlScenario) -> None:
    shown = " ".join(scenario.payctl("--help").stdout.split())
    assert "The batch breaker:" in shown
    assert "The older name of `payctl breaker`." in shown
    assert "The older name of" in scenario.payctl("lane", "--help").stdout
