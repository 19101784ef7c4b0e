"""payctl payment retry, on moto, with the gateway in memory."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from fakes.gateway import Fault, FaultKind, MemoryGateway
from payctl import adapters
from payctl.failures import Exit
from payctl.what_now import Facts, what_now
from payments.domain.payment import Payment
from payments.domain.statuses import Status
from payments.ports.payment_gateway import ChargeRequest
from tests.unit.builders import NOON, after, payment
from tests.unit.payctl.scenarios import PayctlScenario, payctl_scenario

RETRY = ("payment", "retry", "pay_1", "--yes")


@pytest.fixture
def scenario(tmp_path: Path) -> Iterator[PayctlScenario]:
    with payctl_scenario(tmp_path) as scenario:
        yield scenario


@pytest.fixture(autouse=True)
def gateway(monkeypatch: pytest.MonkeyPatch) -> MemoryGateway:
    gateway = MemoryGateway()
    monkeypatch.setattr(adapters, "gateway", lambda _: gateway)
    return gateway


def failed(scenario: PayctlScenario, *statuses: Status) -> Payment:
    """A stored payment, which failed."""
    scenario.stored(payment(metadata={"order": "A-17"}))
    row = scenario.payments.get("pay_1")
    assert row
    for status in statuses or (Status.FAILED,):
        row = after(row, status)
        scenario.payments.save(row)
    return row


def test_retry_when_failed_then_stored_linked_and_started_once(scenario: PayctlScenario) -> None:
    failed(scenario)
    for repeated in (False, True):
        result = scenario.payctl(*RETRY, "--json")
        assert result.exit_code == Exit.DONE, result.output
        printed = json.loads(result.stdout)
        assert (printed["retried_as"], printed["status"], printed["repeated"]) == ("pay_1_r2", "pending", repeated)
    old, new = scenario.payments.get("pay_1"), scenario.payments.get("pay_1_r2")
    assert old
    assert new
    assert (old.retried_as, new.retry_of, new.history[0].actor) == ("pay_1_r2", "pay_1", "operator:moto")
    assert new.payment_method.startswith("sealed.v1.")
    assert scenario.executions() == {"pay_1_r2"}


def test_retry_is_explained_on_both_rows(scenario: PayctlScenario) -> None:
    failed(scenario)
    assert "pay_1_r2" in scenario.payctl(*RETRY).stdout
    old = scenario.payctl("payment", "explain", "pay_1", "--no-gateway").stdout
    new = scenario.payctl("payment", "explain", "pay_1_r2", "--no-gateway").stdout
    assert "retried as" in old
    assert "payctl payment explain pay_1_r2" in old
    assert "retry of pay_1" in new


def test_retry_without_yes_or_a_terminal_changes_nothing(scenario: PayctlScenario) -> None:
    failed(scenario)
    result = scenario.payctl(*RETRY[:-1])
    assert (result.exit_code, "with --yes" in result.stderr) == (Exit.USAGE, True)
    assert scenario.payments.get("pay_1_r2") is None


def test_retry_when_not_failed_then_the_status_and_what_to_do(scenario: PayctlScenario) -> None:
    failed(scenario, Status.PROCESSING)
    result = scenario.payctl(*RETRY)
    assert (result.exit_code, "pay_1 is processing" in result.stderr) == (Exit.FAILED, True)
    assert "payctl payment explain pay_1" in result.stderr


@pytest.mark.fault(90)
def test_retry_when_the_gateway_has_a_charge_then_refused(scenario: PayctlScenario, gateway: MemoryGateway) -> None:
    row = failed(scenario)
    gateway.charge(ChargeRequest("pay_1", row.money, "pm_card_visa"))
    result = scenario.payctl(*RETRY)
    assert (result.exit_code, "do not pay it anew" in result.stderr) == (Exit.FAILED, True)


def test_retry_when_the_gateway_does_not_answer_then_later(scenario: PayctlScenario, gateway: MemoryGateway) -> None:
    failed(scenario)
    gateway.fail(Fault(FaultKind.NOT_SENT, call="find"))
    assert "was not asked about pay_1" in scenario.payctl(*RETRY).stderr


def test_retry_when_another_payment_has_its_id_then_refused(scenario: PayctlScenario) -> None:
    failed(scenario)
    scenario.stored(payment("pay_1_r2", customer_id="cus_2"))
    assert "payctl payment explain pay_1_r2" in scenario.payctl(*RETRY).stderr


def test_retry_of_an_unknown_payment_fails(scenario: PayctlScenario) -> None:
    assert "there is no payment pay_1" in scenario.payctl(*RETRY).stderr


def test_failed_payment_is_explained_with_its_retry() -> None:
    row = after(payment(), Status.FAILED)
    assert "payctl payment retry pay_1" in " ".join(what_now(Facts(row, now=NOON)))
    assert "pay_1_r2" in " ".join(what_now(Facts(replace(row, retried_as="pay_1_r2"), now=NOON)))
