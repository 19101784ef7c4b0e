"""payctl payment recheck, on moto: another execution that asks, and what it changed."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from payctl import ports, recheck
from payctl.failures import Exit
from payments.domain.payment import Payment
from payments.domain.statuses import Status
from tests.unit.builders import after, payment
from tests.unit.payctl_world import AwsWorld, aws_world

UNKNOWN = after(payment(), Status.PROCESSING, Status.UNKNOWN)
HELD = after(payment(), Status.PROCESSING, Status.IN_REVIEW, code="amount_differs", message="compare both")


class Asking:
    """A workflow whose execution comes out at once: the row moves to a status, or stays."""

    def __init__(self, world: AwsWorld, became: Status | None) -> None:
        self._world = world
        self._became = became
        self.occasions: list[str] = []

    def again(self, payment_id: str, occasion: str, *, ask: bool = False) -> None:
        """See the port."""
        assert ask
        self.occasions.append(occasion)
        row = self._world.payments.get(payment_id)
        if row and self._became:
            self._world.payments.save(after(row, self._became))


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[AwsWorld]:
    monkeypatch.setattr(recheck, "POLL_SECONDS", 0.01)
    with aws_world(tmp_path) as world:
        yield world


@pytest.fixture
def comes_out(world: AwsWorld, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Asking]:
    def set_up(became: Status | None, status: str = "SUCCEEDED", **more: str) -> Asking:
        workflow = Asking(world, became)
        monkeypatch.setattr(ports, "workflow", lambda stack: workflow)
        monkeypatch.setattr(recheck, "_described", lambda client, arn: {"status": status, **more})
        return workflow

    return set_up


def test_recheck_when_the_gateway_knows_then_says_what_changed(
    world: AwsWorld, comes_out: Callable[..., Asking]
) -> None:
    workflow = comes_out(Status.SUCCEEDED)
    world.stored(UNKNOWN)
    result = world.payctl("payment", "recheck", "pay_1", "--json")
    assert result.exit_code == Exit.DONE, result.output
    told = json.loads(result.stdout)
    assert (told["before"], told["after"], told["changed"]) == ("unknown", "succeeded", True)
    [occasion] = workflow.occasions
    assert told["execution"] == f"pay_1.{occasion}"
    assert (occasion[0], len(occasion), occasion.isalnum()) == ("o", 11, True)


def test_recheck_when_done_twice_then_each_is_an_execution_of_its_own(
    world: AwsWorld, comes_out: Callable[..., Asking]
) -> None:
    workflow = comes_out(None)
    world.stored(HELD)
    for _ in range(2):
        assert world.payctl("payment", "recheck", "pay_1").exit_code == Exit.NOT_CHARGED
    assert len(set(workflow.occasions)) == 2


def test_recheck_when_nothing_changed_then_says_so_with_the_reason_and_exits_3(
    world: AwsWorld, comes_out: Callable[..., Asking]
) -> None:
    comes_out(None)
    world.stored(HELD)
    result = world.payctl("payment", "recheck", "pay_1")
    assert result.exit_code == Exit.NOT_CHARGED
    for text in ("in_review", "no: the gateway says", "compare both (amount_differs)"):
        assert text in result.stdout


@pytest.mark.parametrize("row", [payment(), after(payment(), Status.PROCESSING, Status.DECLINED)])
def test_recheck_when_there_is_nothing_to_ask_then_starts_nothing(
    row: Payment, world: AwsWorld, comes_out: Callable[..., Asking]
) -> None:
    workflow = comes_out(None)
    world.stored(row)
    result = world.payctl("payment", "recheck", "pay_1")
    assert result.exit_code == Exit.FAILED
    assert row.status in result.stderr
    assert workflow.occasions == []


def test_recheck_when_there_is_no_such_payment_then_exits_1(world: AwsWorld) -> None:
    result = world.payctl("payment", "recheck", "pay_8")
    assert result.exit_code == Exit.FAILED
    assert "there is no payment pay_8 in test" in result.stderr


def test_recheck_when_the_execution_still_runs_then_exits_4(world: AwsWorld) -> None:
    world.stored(UNKNOWN)
    result = world.payctl("payment", "recheck", "pay_1", "--timeout", "0.05")  # moto's executions never end
    assert result.exit_code == Exit.STILL_OPEN
    assert "still runs after 0.05 s" in result.stderr
    [name] = world.executions()
    assert name.startswith("pay_1.o")


def test_recheck_when_the_execution_failed_then_names_its_error(
    world: AwsWorld, comes_out: Callable[..., Asking]
) -> None:
    comes_out(None, "FAILED", error="IllegalMove")
    world.stored(UNKNOWN)
    result = world.payctl("payment", "recheck", "pay_1")
    assert result.exit_code == Exit.FAILED
    assert "failed: IllegalMove" in result.stderr


def test_described_when_the_execution_is_not_there_yet_then_counts_as_running() -> None:
    class Client:
        class exceptions:  # noqa: N801 - as boto3 names it
            ExecutionDoesNotExist = LookupError

        def describe_execution(self, **_: Any) -> Any:
            raise LookupError

    assert recheck._described(Client(), "arn") == {"status": "RUNNING"}
