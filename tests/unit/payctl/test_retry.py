"""payctl payment retry, on moto, with the gateway in memory."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import boto3
import pytest

from fakes.gateway import Fault, FaultKind, MemoryGateway
from payctl import adapters
from payctl.failures import Exit
from payctl.what_now import Facts, what_now
from payments.adapters.dynamodb.batches import DynamoBatchStore
from payments.adapters.dynamodb.tables import PAYMENTS, PROCESSING_STATUS
from payments.domain.batch.state import Batch, BatchStatus, Source
from payments.domain.clock import iso
from payments.domain.payment import Payment
from payments.domain.statuses import Status
from payments.ports.batch_store import Claim
from payments.ports.payment_gateway import ChargeRequest
from tests.unit.builders import NOON, after, batch_payment, payment
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


def fail(scenario: PayctlScenario, payment_id: str) -> None:
    """A stored payment fails."""
    row = scenario.payments.get(payment_id)
    assert row
    scenario.payments.save(after(row, Status.FAILED))


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


@pytest.mark.fault(90)
def test_retry_that_was_noted_and_never_stored_is_created(scenario: PayctlScenario) -> None:
    scenario.payments.mark_retried(failed(scenario), "pay_1_r2")
    assert scenario.payctl(*RETRY[:-1]).exit_code == Exit.USAGE  # it asks, as for the first time
    assert scenario.payctl(*RETRY).exit_code == Exit.DONE
    assert scenario.executions() == {"pay_1_r2"}


@pytest.mark.fault(90)
def test_retry_of_a_payment_whose_retry_failed_names_the_next_one(scenario: PayctlScenario) -> None:
    failed(scenario)
    scenario.payctl(*RETRY)
    fail(scenario, "pay_1_r2")
    assert "payctl payment retry pay_1_r2" in scenario.payctl(*RETRY).stderr
    scenario.payctl("payment", "retry", "pay_1_r2", "--yes")
    assert "its last retry is pay_1_r3, which is pending" in scenario.payctl(*RETRY).stderr


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


# payctl batch retry --------------------------------------------------------------------------------------------------

RETRY_BATCH = ("batch", "retry", "b1", "--yes")


def batch_of(scenario: PayctlScenario, **statuses: Status) -> None:
    """A stored batch whose payments have these statuses."""
    batches = DynamoBatchStore(boto3.client("dynamodb"), PROCESSING_STATUS.name, PAYMENTS.name)
    batch = Batch(
        "b1", Source("bucket", "incoming/a.csv", "v1", "etag", 1), BatchStatus.SPLITTING, iso(NOON), iso(NOON)
    )
    batches.claim_split(batch, Claim("split", NOON, NOON))
    for line, (payment_id, status) in enumerate(statuses.items(), 2):
        scenario.stored(batch_payment(payment_id, line))
        row = scenario.payments.get(payment_id)
        assert row
        scenario.payments.save(after(row, status))


def test_batch_retry_sends_only_failed_payments_and_each_once(scenario: PayctlScenario) -> None:
    batch_of(scenario, p1=Status.FAILED, p2=Status.REJECTED, p3=Status.PROCESSING, p4=Status.FAILED)
    result = scenario.payctl(*RETRY_BATCH, "--json")
    assert result.exit_code == Exit.DONE, result.output
    assert [row["retried_as"] for row in json.loads(result.stdout)["sent"]] == ["p1_r2", "p4_r2"]
    again = scenario.payctl(*RETRY_BATCH, "--json")
    assert (json.loads(again.stdout)["sent"], again.exit_code) == ([], Exit.DONE)
    assert scenario.executions() == {"p1_r2", "p4_r2"}


@pytest.mark.fault(90)
def test_batch_retry_creates_a_missing_retry_and_repeats_a_failed_one(scenario: PayctlScenario) -> None:
    batch_of(scenario, p1=Status.FAILED, p2=Status.FAILED, p3=Status.FAILED)
    former = scenario.payments.get("p1")
    assert former
    scenario.payments.mark_retried(former, "p1_r2")  # and the call ended there
    for payment_id in ("p2", "p3"):
        scenario.payctl("payment", "retry", payment_id, "--yes")
    fail(scenario, "p2_r2")
    result = scenario.payctl(*RETRY_BATCH, "--json")
    assert result.exit_code == Exit.DONE, result.output
    assert [row["retried_as"] for row in json.loads(result.stdout)["sent"]] == ["p1_r2", "p2_r3"]
    assert scenario.executions() == {"p1_r2", "p2_r2", "p2_r3", "p3_r2"}


@pytest.mark.fault(90)
def test_batch_retry_names_those_that_were_charged_after_all(scenario: PayctlScenario, gateway: MemoryGateway) -> None:
    batch_of(scenario, p1=Status.FAILED, p2=Status.FAILED)
    gateway.charge(ChargeRequest("p1", payment().money, "pm_card_visa"))
    result = scenario.payctl(*RETRY_BATCH)
    assert (result.exit_code, "p2_r2" in result.stdout) == (Exit.SOME_REFUSED, True)
    assert "gateway has a charge" in " ".join(result.stdout.split())
    assert scenario.executions() == {"p2_r2"}


def test_batch_retry_without_yes_or_a_terminal_changes_nothing(scenario: PayctlScenario) -> None:
    batch_of(scenario, p1=Status.FAILED)
    result = scenario.payctl(*RETRY_BATCH[:-1])
    assert (result.exit_code, scenario.executions()) == (Exit.USAGE, set())


def test_batch_retry_of_an_unknown_batch_fails(scenario: PayctlScenario) -> None:
    assert "there is no batch b1" in scenario.payctl(*RETRY_BATCH).stderr
