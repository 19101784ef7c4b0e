"""payctl payment cancel, on moto."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from payctl.failures import Exit
from payctl.what_now import Facts, what_now
from payments.domain.batch.switch import Switch, SwitchState
from payments.domain.cancellation import CancelCode, canceled
from payments.domain.statuses import Status
from tests.unit.builders import NOON, after, batch_payment, payment
from tests.unit.payctl.scenarios import PayctlScenario, payctl_scenario

CANCEL = ("payment", "cancel", "pay_1")


@pytest.fixture
def scenario(tmp_path: Path) -> Iterator[PayctlScenario]:
    with payctl_scenario(tmp_path) as scenario:
        yield scenario


def test_cancel_when_pending_then_rejected_by_the_operator_and_started(scenario: PayctlScenario) -> None:
    scenario.stored(payment())
    result = scenario.payctl(*CANCEL, "--yes", "--json")
    assert result.exit_code == Exit.DONE, result.output
    printed = json.loads(result.stdout)
    row = scenario.payments.get("pay_1")
    assert row
    assert (row.status, row.code) == (Status.REJECTED, CancelCode.PAYMENT)
    assert printed["by"] == row.history[-1].actor == "operator:moto"
    assert (printed["status"], printed["code"], printed["repeated"]) == ("rejected", "canceled", False)
    assert scenario.executions() == {"pay_1.c2"}


def test_cancel_when_repeated_then_it_says_so_and_changes_nothing(scenario: PayctlScenario) -> None:
    scenario.stored(payment())
    for _ in range(2):
        result = scenario.payctl(*CANCEL, "--yes")
        assert result.exit_code == Exit.DONE, result.output
    assert "already canceled" in result.stderr
    assert "by operator:moto" in result.stdout
    assert scenario.executions() == {"pay_1.c2"}


def test_cancel_without_yes_or_a_terminal_changes_nothing(scenario: PayctlScenario) -> None:
    scenario.stored(payment())
    result = scenario.payctl(*CANCEL)
    assert (result.exit_code, "with --yes" in result.stderr) == (Exit.USAGE, True)
    row = scenario.payments.get("pay_1")
    assert row
    assert row.status is Status.PENDING


@pytest.mark.parametrize(
    ("status", "says"), [(Status.PROCESSING, "payctl payment explain"), (Status.IN_REVIEW, "payctl payment reject")]
)
def test_cancel_when_not_pending_then_the_status_and_what_to_do(
    scenario: PayctlScenario, status: Status, says: str
) -> None:
    scenario.stored(after(payment(), status))
    result = scenario.payctl(*CANCEL, "--yes")
    assert result.exit_code == Exit.FAILED
    assert f"pay_1 is {status}; only a pending payment" in result.stderr
    assert says in result.stderr


def test_cancel_of_an_unknown_payment_fails(scenario: PayctlScenario) -> None:
    assert "there is no payment pay_1" in scenario.payctl(*CANCEL, "--yes").stderr


def test_canceled_payment_is_explained_as_such() -> None:
    row = canceled(payment(), CancelCode.BATCH, by="operator:jo", at=NOON)
    said = " ".join(what_now(Facts(row, now=NOON)))
    assert "canceled by operator:jo" in said


@pytest.mark.parametrize(
    ("state", "says"),
    [
        (SwitchState.PAUSED, "payctl batch resume b1"),
        (SwitchState.CANCELED, "it ends rejected within minutes"),
    ],
)
def test_payment_of_a_held_batch_is_explained_by_the_switch(state: SwitchState, says: str) -> None:
    said = " ".join(what_now(Facts(batch_payment(), switch=Switch(state, "admin:jo", "2026-11-21"), now=NOON)))
    assert says in said
    assert "admin:jo" in said
    assert "queue" not in said
