"""payctl payment approve and reject, on moto: one decision for a held payment, and the execution that it starts."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from payctl import adapters, prompts, review
from payctl.failures import Exit
from payctl.what_now import Facts, what_now
from payments.adapters.dynamodb.payments import DynamoPaymentStore
from payments.adapters.dynamodb.tables import PAYMENTS
from payments.application.review import decide
from payments.application.velocity import CARD_TESTING
from payments.domain.fraud_hold import Verdict
from payments.domain.payment import Payment
from payments.domain.sealed_text import is_sealed
from payments.domain.statuses import Status
from tests.unit.builders import NOON, after, payment
from tests.unit.payctl.scenarios import PayctlScenario, payctl_scenario

NEW = replace(payment(metadata={"order": "A-17"}, customer_id="cus_7"), hold=CARD_TESTING)
HELD = after(NEW, Status.IN_REVIEW, code=CARD_TESTING, message="a fraud rule holds it; an operator decides")
APPROVE = ("payment", "approve", "pay_1")
REJECT = ("payment", "reject", "pay_1", "--reason", "stolen cards")
DECISIONS = {
    "approve": (APPROVE, Status.PENDING, Verdict.APPROVED, "an operator approved it"),
    "reject": (REJECT, Status.REJECTED, Verdict.REJECTED, "stolen cards"),
}
COMMANDS = pytest.mark.parametrize("command", [APPROVE, REJECT], ids=["approve", "reject"])


@pytest.fixture
def scenario(tmp_path: Path) -> Iterator[PayctlScenario]:
    with payctl_scenario(tmp_path) as scenario:
        yield scenario


def stored(scenario: PayctlScenario) -> Payment:
    row = scenario.payments.get("pay_1")
    assert row
    return row


@pytest.mark.parametrize(("command", "status", "code", "message"), DECISIONS.values(), ids=list(DECISIONS))
def test_review_of_a_held_payment_records_the_actor_and_starts_it_once(
    scenario: PayctlScenario, command: tuple[str, ...], status: Status, code: Verdict, message: str
) -> None:
    scenario.stored(HELD)
    result = scenario.payctl(*command, "--yes", "--json")
    assert result.exit_code == Exit.DONE, result.output
    printed = json.loads(result.stdout)
    assert (printed["status"], printed["decision"], printed["execution"]) == (status, review.SAID[code], "pay_1.r3")
    change = stored(scenario).history[-1]
    assert (change.version, change.status, change.code, change.message) == (3, status, code, message)
    assert (change.actor, printed["by"]) == ("operator:moto", "operator:moto")
    assert scenario.executions() == {"pay_1.r3"}


@COMMANDS
def test_review_when_private_fields_are_sealed_then_they_stay_as_they_are(
    scenario: PayctlScenario, command: tuple[str, ...]
) -> None:
    scenario.stored(HELD)
    before = stored(scenario)
    boto3.client("kms").disable_key(KeyId=scenario.outputs["vault_key_arn"].rpartition("/")[2])
    assert scenario.payctl(*command, "--yes").exit_code == Exit.DONE
    now = stored(scenario)
    assert is_sealed(now.payment_method)
    assert (now.payment_method, now.metadata) == (before.payment_method, before.metadata)


def test_review_prints_what_was_decided_and_by_whom(scenario: PayctlScenario) -> None:
    scenario.stored(HELD)
    result = scenario.payctl(*REJECT, "--yes")
    for text in ("rejected", "operator:moto", "stolen cards", "pay_1.r3", "99.99 USD"):
        assert text in result.stdout
    assert "payctl status pay_1" in result.stderr


@COMMANDS
def test_review_when_done_twice_then_the_second_changes_and_starts_nothing(
    scenario: PayctlScenario, command: tuple[str, ...]
) -> None:
    scenario.stored(HELD)
    for _ in range(2):
        assert scenario.payctl(*command, "--yes").exit_code == Exit.DONE
    assert stored(scenario).version == 3
    assert scenario.executions() == {"pay_1.r3"}


@pytest.mark.parametrize(("first", "second"), [(APPROVE, REJECT), (REJECT, APPROVE)], ids=["approved", "rejected"])
def test_review_against_an_earlier_decision_names_its_actor_and_keeps_it(
    scenario: PayctlScenario, first: tuple[str, ...], second: tuple[str, ...]
) -> None:
    scenario.stored(HELD)
    scenario.payctl(*first, "--yes")
    row = stored(scenario)
    result = scenario.payctl(*second, "--yes")
    assert result.exit_code == Exit.FAILED
    assert f"by operator:moto at {row.updated_at}; it is {row.status} now" in result.stderr
    assert stored(scenario) == row


class DecidedFirst(DynamoPaymentStore):
    """A store where another operator decides right before us."""

    verdict = Verdict.APPROVED

    def save(self, payment: Payment) -> None:
        """Decide as the other operator first. The given version is then out of date."""
        row = self.get(payment.payment_id)
        assert row
        decide(row, self.verdict, by="operator:max", message="his reason", store=_real(), at=NOON)
        super().save(payment)


def _real() -> DynamoPaymentStore:
    return DynamoPaymentStore(boto3.client("dynamodb"), PAYMENTS.name)


@pytest.fixture
def decided_first(monkeypatch: pytest.MonkeyPatch, scenario: PayctlScenario) -> type[DecidedFirst]:
    store = type("OutrunBy", (DecidedFirst,), {})
    monkeypatch.setattr(adapters, "payments", lambda stack: store(boto3.client("dynamodb"), PAYMENTS.name))
    return store


def test_review_approved_twice_at_once_starts_once_and_names_the_first(
    scenario: PayctlScenario, decided_first: type[DecidedFirst]
) -> None:
    scenario.stored(HELD)
    result = scenario.payctl(*APPROVE, "--yes", "--json")
    assert result.exit_code == Exit.DONE
    assert json.loads(result.stdout)["by"] == "operator:max"
    assert "another operator decided on" in result.stderr
    assert stored(scenario).version == 3
    assert scenario.executions() == {"pay_1.r3"}


def test_review_approval_losing_to_a_rejection_fails_and_starts_nothing(
    scenario: PayctlScenario, decided_first: type[DecidedFirst]
) -> None:
    decided_first.verdict = Verdict.REJECTED
    scenario.stored(HELD)
    result = scenario.payctl(*APPROVE, "--yes")
    assert result.exit_code == Exit.FAILED
    assert "rejected by operator:max" in result.stderr
    assert stored(scenario).status is Status.REJECTED
    assert scenario.executions() == set()


class Refusing:
    """A workflow that cannot be reached."""

    def restart(self, payment_id: str, execution_suffix: str) -> None:
        """Fail as a throttled StartExecution does."""
        raise ClientError({"Error": {"Code": "ThrottlingException", "Message": "too many"}}, "StartExecution")


@COMMANDS
def test_review_keeps_the_decision_when_the_start_fails_and_a_rerun_starts(
    scenario: PayctlScenario, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    scenario.stored(HELD)
    with monkeypatch.context() as broken:
        broken.setattr(adapters, "workflow", lambda stack: Refusing())
        failed = scenario.payctl(*command, "--yes")
    assert failed.exit_code == Exit.FAILED
    assert "recovery starts it" in failed.stderr
    row = stored(scenario)
    assert row.version == 3
    assert scenario.payctl(*command, "--yes").exit_code == Exit.DONE
    assert stored(scenario) == row
    assert scenario.executions() == {"pay_1.r3"}


OTHER_REASON: dict[str, Any] = {"code": "amount_differs", "message": "compare both"}


@COMMANDS
@pytest.mark.parametrize(
    "row",
    [
        after(payment(), Status.PROCESSING, Status.IN_REVIEW, **OTHER_REASON),
        after(HELD, Status.PENDING, Status.PROCESSING, Status.IN_REVIEW, **OTHER_REASON),
    ],
    ids=["never held", "approved before"],
)
def test_review_refuses_an_amount_mismatch_and_points_to_recheck(
    scenario: PayctlScenario, row: Payment, command: tuple[str, ...]
) -> None:
    scenario.stored(row)
    result = scenario.payctl(*command, "--yes")
    assert result.exit_code == Exit.FAILED
    assert "compare both (amount_differs)" in result.stderr
    assert "payctl payment recheck pay_1" in result.stderr
    assert (stored(scenario).version, scenario.executions()) == (row.version, set())


@COMMANDS
@pytest.mark.parametrize("row", [NEW, after(payment(), Status.PROCESSING, Status.SUCCEEDED)])
def test_review_when_no_rule_holds_it_then_refuses(
    scenario: PayctlScenario, row: Payment, command: tuple[str, ...]
) -> None:
    scenario.stored(row)
    result = scenario.payctl(*command, "--yes")
    assert result.exit_code == Exit.FAILED
    assert f"{row.status}: no fraud rule holds it" in result.stderr
    assert scenario.executions() == set()


def test_review_when_there_is_no_such_payment_then_exits_1(scenario: PayctlScenario) -> None:
    result = scenario.payctl("payment", "approve", "pay_8", "--yes")
    assert result.exit_code == Exit.FAILED
    assert "there is no payment pay_8 in test" in result.stderr


@COMMANDS
def test_review_changes_nothing_without_a_terminal_or_yes(scenario: PayctlScenario, command: tuple[str, ...]) -> None:
    scenario.stored(HELD)
    result = scenario.payctl(*command)
    assert result.exit_code == Exit.USAGE
    assert "--yes" in result.stderr
    assert stored(scenario).status is Status.IN_REVIEW


@pytest.mark.parametrize(("answer", "status"), [("y", Status.PENDING), ("n", Status.IN_REVIEW)])
def test_review_when_at_a_terminal_then_says_what_is_held_and_asks(
    scenario: PayctlScenario, monkeypatch: pytest.MonkeyPatch, answer: str, status: Status
) -> None:
    monkeypatch.setattr(prompts, "at_a_terminal", lambda: True)
    scenario.stored(HELD)
    result = scenario.payctl(*APPROVE, stdin=answer)
    for text in ("pay_1 of 99.99 USD of customer cus_7", CARD_TESTING, "Charge it?"):
        assert text in result.stderr
    assert stored(scenario).status is status


@pytest.mark.parametrize("reason", ["", "  ", "x" * 201, "two\nlines", "card 4242 4242 4242 4242"])
def test_reject_refuses_an_invalid_reason_and_repeats_no_card_data(scenario: PayctlScenario, reason: str) -> None:
    scenario.stored(HELD)
    result = scenario.payctl("payment", "reject", "pay_1", "--reason", reason, "--yes")
    assert result.exit_code == Exit.USAGE
    assert "4242" not in result.output
    assert stored(scenario).status is Status.IN_REVIEW


@pytest.mark.parametrize(
    ("arn", "actor"),
    [
        ("arn:aws:iam::123456789012:user/ops/jo", "operator:jo"),
        ("arn:aws:sts::123456789012:assumed-role/Admin/jo.lee@example.com", "operator:jo.lee"),
        ("arn:aws:iam::123456789012:root", "operator:root"),
    ],
)
def test_operator_in_the_history_is_the_arn_suffix_without_an_email_domain(arn: str, actor: str) -> None:
    class Stack:
        def client(self, service: str) -> Any:
            return self

        def get_caller_identity(self) -> dict[str, str]:
            return {"Arn": arn}

    assert adapters.operator(Stack()) == actor  # type: ignore[arg-type]


ADVICE = {
    "held": (HELD, "payctl payment approve pay_1"),
    "held for another reason": (after(NEW, Status.PROCESSING, Status.IN_REVIEW, **OTHER_REASON), "payment recheck"),
    "approved": (after(HELD, Status.PENDING, code=Verdict.APPROVED), "an operator approved it"),
    "rejected": (after(HELD, Status.REJECTED, code=Verdict.REJECTED, message="stolen cards"), "stolen cards"),
}


@pytest.mark.parametrize(("row", "advice"), ADVICE.values(), ids=list(ADVICE))
def test_what_now_for_a_held_payment_gives_the_decision_or_how_to_decide(row: Payment, advice: str) -> None:
    text = " ".join(what_now(Facts(row, now=NOON)))
    assert advice in text
    assert ("payctl payment approve" in text) == (row is HELD)
    assert "last attempt" not in text
    assert "submit it under a new" not in text
