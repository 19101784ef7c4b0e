"""payctl refund create, approve, reject, show, list and done."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

from payctl import refund as command
from payctl.failures import Exit
from payments.adapters.dynamodb.refunds import DynamoRefundStore
from payments.adapters.dynamodb.tables import PAYMENTS, REFUNDS
from payments.application import refund as sending
from payments.domain.money import Money
from payments.domain.recovery_timeouts import RecoveryTimeouts
from payments.domain.refund import Refund, RefundRequest, booked, refund_moved, refund_requested
from payments.domain.refund_approval import APPROVAL_WAIT
from payments.domain.refund_due import refund_due
from payments.domain.refund_statuses import RefundStatus
from payments.domain.statuses import Status
from payments.ports.payment_store import require
from payments.ports.refund_store import require_refund
from tests.moto_tables import create_table
from tests.unit.builders import NOON, after, payment
from tests.unit.payctl.scenarios import FakeApi, Payctl, PayctlScenario, fake_api, payctl_scenario, payctl_with

_S = RefundStatus
VIEW: dict[str, Any] = {
    "refund_id": "ref_1",
    "payment_id": "pay_1",
    "status": "failed",
    "amount": 40.00,
    "currency": "USD",
    "source": "rest",
    "why": {"code": "declined", "message": "the bank did not carry it out"},
    "attention": "failed_late",
    "updated_at": "2026-11-21T12:00:01.000Z",
    "history": [{"version": 1, "status": "pending", "at": "2026-11-21T12:00:00.000Z", "actor": "admin"}],
}


@pytest.fixture
def api() -> Iterator[FakeApi]:
    with fake_api() as started:
        yield started


@pytest.fixture
def payctl(api: FakeApi, tmp_path: Path) -> Payctl:
    return payctl_with(tmp_path, api_url=api.url)


def test_create_sends_what_was_given_and_shows_the_refund(api: FakeApi, payctl: Payctl) -> None:
    api.will_answer(202, VIEW, Idempotent_Replayed="true")

    result = payctl("refund", "create", "pay_1", "--id", "ref_1", "--amount", "40.00", "--reason", "duplicate")

    assert result.exit_code == Exit.DONE, result.output
    assert api.received[0].path.endswith("/payments/pay_1/refunds")
    assert api.received[0].body == {"refund_id": "ref_1", "amount": "40.00", "reason": "duplicate"}
    assert "already accepted" in result.stderr
    assert "the bank did not carry it out (declined)" in result.stdout


def test_create_without_amount_leaves_it_to_the_api(api: FakeApi, payctl: Payctl) -> None:
    api.will_answer(202, VIEW)

    payctl("refund", "create", "pay_1", "--id", "ref_1")

    assert api.received[0].body == {"refund_id": "ref_1"}


def test_show_prints_the_history_or_json(api: FakeApi, payctl: Payctl) -> None:
    api.will_answer(200, VIEW)

    assert "2026-11-21T12:00:00.000Z pending by admin" in payctl("refund", "show", "ref_1").stdout
    assert json.loads(payctl("refund", "show", "ref_1", "--json").stdout) == VIEW


@pytest.mark.parametrize(
    ("options", "path"),
    [
        (["--payment", "pay_1"], "/payments/pay_1/refunds"),
        (["--status", "failed", "--day", "2026-11-21"], "/refunds?status=failed&limit=100&day=2026-11-21"),
        ([], "/refunds?status=pending&limit=100"),
    ],
)
def test_list_asks_for_a_payment_or_a_status(api: FakeApi, payctl: Payctl, options: list[str], path: str) -> None:
    api.will_answer(200, {"refunds": [VIEW], "next_cursor": "x"})

    result = payctl("refund", "list", *options)

    assert (result.exit_code, "ref_1" in result.stdout) == (Exit.DONE, True)
    assert api.received[0].path.endswith(path)


@pytest.fixture
def scenario(tmp_path: Path) -> Iterator[PayctlScenario]:
    with payctl_scenario(tmp_path) as scenario:
        create_table(REFUNDS)
        yield scenario


def refunds() -> DynamoRefundStore:
    return DynamoRefundStore(boto3.client("dynamodb"), REFUNDS.name, PAYMENTS.name)


def failed_late(scenario: PayctlScenario) -> Refund:
    row = scenario.stored(payment())
    for status in (Status.PROCESSING, Status.SUCCEEDED):
        row = after(require(scenario.payments, "pay_1"), status)
        scenario.payments.save(row)
    asked = RefundRequest("ref_1", "pay_1")
    before = refund_requested(asked, row.money, status=_S.PENDING, at=NOON, actor="admin:sub", source="rest")
    refunds().create(before, booked(row, None, before))
    for step in (_S.PROCESSING, _S.SUCCEEDED, _S.FAILED):
        attention = "failed_late" if step is _S.FAILED else ""
        moved = refund_moved(before, step, at=NOON, actor="refund", gateway_reference="re_1", attention=attention)
        refunds().save(moved, booked(require(scenario.payments, "pay_1"), before, moved))
        before = moved
    return before


@pytest.mark.fault(81)
def test_late_failure_is_on_the_list_with_what_to_do_until_it_is_done(scenario: PayctlScenario) -> None:
    failed_late(scenario)
    listed = scenario.payctl("refund", "list", "--attention")
    assert listed.exit_code == Exit.DONE, listed.output
    assert "ref_1: pay the payer in another way" in listed.stdout

    done = scenario.payctl("refund", "done", "ref_1", "--note", "paid by bank transfer", "--json")

    assert json.loads(done.stdout)["attention"] == ""
    row = require_refund(refunds(), "ref_1")
    assert (row.history[-1].actor, row.history[-1].message) == ("operator:moto", "paid by bank transfer")
    assert json.loads(scenario.payctl("refund", "list", "--attention", "--json").stdout) == {"refunds": []}
    assert require(scenario.payments, "pay_1").version == row.version + 3


def test_done_of_a_refund_that_is_not_on_the_list_changes_nothing(scenario: PayctlScenario) -> None:
    failed_late(scenario)
    scenario.payctl("refund", "done", "ref_1", "--note", "x")

    again = scenario.payctl("refund", "done", "ref_1", "--note", "x")
    unknown = scenario.payctl("refund", "done", "ref_9", "--note", "x")

    assert (again.exit_code, unknown.exit_code) == (Exit.FAILED, Exit.FAILED)
    assert "waits for no operator" in again.stderr


def test_every_reason_of_the_list_says_what_to_do() -> None:
    reasons = {sending.FAILED_LATE, sending.AMOUNT_DIFFERS, sending.CONTRADICTS}
    reasons |= {sending.OTHER_CONTENT, sending.NO_REFERENCE, ""}
    assert reasons == command.WHAT_TO_DO.keys()


WAITING = VIEW | {"status": "pending_approval", "why": {}, "attention": ""}


@pytest.mark.parametrize("verb", ["approve", "reject"])
def test_decision_is_sent_with_yes_and_printed_as_json(api: FakeApi, payctl: Payctl, verb: str) -> None:
    api.will_answer(200, WAITING | {"status": "pending"}, Idempotent_Replayed="true")

    result = payctl("refund", verb, "ref_1", "--yes", "--json")

    assert (result.exit_code, json.loads(result.stdout)["status"]) == (Exit.DONE, "pending")
    (request,) = api.received
    assert request.path.endswith(f"/refunds/ref_1/{verb}")
    assert "you made this decision on ref_1 before" in result.stderr


@pytest.mark.parametrize("verb", ["approve", "reject"])
def test_decision_without_a_terminal_needs_yes(api: FakeApi, payctl: Payctl, verb: str) -> None:
    api.will_answer(200, WAITING)

    result = payctl("refund", verb, "ref_1")

    assert result.exit_code == Exit.USAGE
    assert f"ref_1 of 40.0 USD for payment pay_1 in test waits for approval; {verb} it with --yes" in result.stderr
    assert [request.path.rpartition("/")[2] for request in api.received] == ["ref_1"]


def test_decision_that_the_api_refuses_shows_why(api: FakeApi, payctl: Payctl) -> None:
    api.will_answer(403, {"title": "Forbidden", "detail": "you requested refund ref_1"})

    result = payctl("refund", "approve", "ref_1", "--yes")

    assert (result.exit_code, "you requested refund ref_1" in result.stderr) == (Exit.FAILED, True)


def test_refunds_that_wait_for_approval_are_listed_the_oldest_first(scenario: PayctlScenario) -> None:
    row = scenario.stored(payment())
    for status in (Status.PROCESSING, Status.SUCCEEDED):
        scenario.payments.save(after(require(scenario.payments, "pay_1"), status))
    for number, age in ((1, 0 * APPROVAL_WAIT), (2, APPROVAL_WAIT)):
        asked = RefundRequest(f"ref_{number}", "pay_1")
        waiting = refund_requested(
            asked, Money(100, row.money.currency), status=_S.PENDING_APPROVAL, at=NOON - age, actor="a", source="rest"
        )
        refunds().create(waiting, booked(require(scenario.payments, "pay_1"), None, waiting))
    late = require_refund(refunds(), "ref_2")
    refunds().look_again(late, refund_due(late, RecoveryTimeouts(), NOON))

    listed = json.loads(scenario.payctl("refund", "list", "--approval", "--json").stdout)["refunds"]
    attention = scenario.payctl("refund", "list", "--attention").stdout

    assert [refund["refund_id"] for refund in listed] == ["ref_2", "ref_1"]
    assert f"ref_2: {command.WAITS_FOR_APPROVAL}" in attention
    assert "ref_1" not in attention
