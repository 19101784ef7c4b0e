"""payctl payment recheck, on moto: another execution that queries the gateway, and its changes."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from payctl import adapters, recheck
from payctl.failures import Exit
from payments.domain.payment import Payment
from payments.domain.statuses import Status
from tests.unit.builders import after, payment
from tests.unit.payctl.scenarios import PayctlScenario, payctl_scenario

UNKNOWN = after(payment(), Status.PROCESSING, Status.UNKNOWN)
HELD = after(payment(), Status.PROCESSING, Status.IN_REVIEW, attempts=1, code="amount_differs", message="compare both")


class RecheckWorkflow:
    """A workflow whose execution ends at once: the row moves to a status, or stays."""

    def __init__(self, scenario: PayctlScenario, became: Status | None) -> None:
        self._world = scenario
        self._became = became
        self.suffixes: list[str] = []

    def restart(self, payment_id: str, execution_suffix: str, *, reconcile: bool = False) -> None:
        """Move the row at once. Requires `reconcile`, which a recheck always sets."""
        assert reconcile
        self.suffixes.append(execution_suffix)
        row = self._world.payments.get(payment_id)
        if row and self._became:
            self._world.payments.save(after(row, self._became))


@pytest.fixture
def scenario(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[PayctlScenario]:
    monkeypatch.setattr(recheck, "POLL_SECONDS", 0.01)
    with payctl_scenario(tmp_path) as scenario:
        yield scenario


@pytest.fixture
def comes_out(scenario: PayctlScenario, monkeypatch: pytest.MonkeyPatch) -> Callable[..., RecheckWorkflow]:
    def set_up(became: Status | None, status: str = "SUCCEEDED", **more: str) -> RecheckWorkflow:
        workflow = RecheckWorkflow(scenario, became)
        monkeypatch.setattr(adapters, "workflow", lambda stack: workflow)
        monkeypatch.setattr(recheck, "_described", lambda client, arn: {"status": status, **more})
        return workflow

    return set_up


def test_recheck_when_the_gateway_knows_then_says_what_changed(
    scenario: PayctlScenario, comes_out: Callable[..., RecheckWorkflow]
) -> None:
    workflow = comes_out(Status.SUCCEEDED)
    scenario.stored(UNKNOWN)
    result = scenario.payctl("payment", "recheck", "pay_1", "--json")
    assert result.exit_code == Exit.DONE, result.output
    printed = json.loads(result.stdout)
    assert (printed["before"], printed["after"], printed["changed"]) == ("unknown", "succeeded", True)
    [execution_suffix] = workflow.suffixes
    assert printed["execution"] == f"pay_1.{execution_suffix}"
    assert (execution_suffix[0], len(execution_suffix), execution_suffix.isalnum()) == ("o", 11, True)


def test_recheck_when_done_twice_then_each_is_an_execution_of_its_own(
    scenario: PayctlScenario, comes_out: Callable[..., RecheckWorkflow]
) -> None:
    workflow = comes_out(None)
    scenario.stored(HELD)
    for _ in range(2):
        assert scenario.payctl("payment", "recheck", "pay_1").exit_code == Exit.NOT_SETTLED
    assert len(set(workflow.suffixes)) == 2


def test_recheck_without_a_change_gives_the_reason_and_exits_7(
    scenario: PayctlScenario, comes_out: Callable[..., RecheckWorkflow]
) -> None:
    comes_out(None)
    scenario.stored(HELD)
    result = scenario.payctl("payment", "recheck", "pay_1")
    assert result.exit_code == Exit.NOT_SETTLED
    for text in ("in_review", "no: the gateway confirms", "compare both (amount_differs)"):
        assert text in result.stdout


@pytest.mark.parametrize("row", [payment(), after(payment(), Status.PROCESSING, Status.DECLINED)])
def test_recheck_when_there_is_nothing_to_ask_then_starts_nothing(
    row: Payment, scenario: PayctlScenario, comes_out: Callable[..., RecheckWorkflow]
) -> None:
    workflow = comes_out(None)
    scenario.stored(row)
    result = scenario.payctl("payment", "recheck", "pay_1")
    assert result.exit_code == Exit.FAILED
    assert row.status in result.stderr
    assert workflow.suffixes == []


def test_recheck_when_there_is_no_such_payment_then_exits_1(scenario: PayctlScenario) -> None:
    result = scenario.payctl("payment", "recheck", "pay_8")
    assert result.exit_code == Exit.FAILED
    assert "there is no payment pay_8 in test" in result.stderr


def test_recheck_when_the_execution_still_runs_then_exits_4(scenario: PayctlScenario) -> None:
    scenario.stored(UNKNOWN)
    result = scenario.payctl("payment", "recheck", "pay_1", "--timeout", "0.05")  # moto's executions never end
    assert result.exit_code == Exit.STILL_OPEN
    [name] = scenario.executions()
    assert name.startswith("pay_1.o")
    assert f"gave up waiting for the end of execution {name}: no progress for 0.05 s" in result.stderr
    assert "the last was unknown, version 3" in result.stderr


def test_recheck_when_the_execution_failed_then_names_its_error(
    scenario: PayctlScenario, comes_out: Callable[..., RecheckWorkflow]
) -> None:
    comes_out(None, "FAILED", error="IllegalMove")
    scenario.stored(UNKNOWN)
    result = scenario.payctl("payment", "recheck", "pay_1")
    assert result.exit_code == Exit.FAILED
    assert "failed: IllegalMove" in result.stderr


def test_described_counts_a_missing_execution_as_running() -> None:
    class Client:
        class exceptions:  # noqa: N801 - as boto3 names it
            ExecutionDoesNotExist = LookupError

        def describe_execution(self, **_: Any) -> Any:
            raise LookupError

    assert recheck._described(Client(), "arn") == {"status": "RUNNING"}
