"""The switch of a batch, as dispatch and recovery read it."""

from datetime import timedelta
from typing import Any

import pytest

from payments.application.batch.switches import REMEMBERED_FOR, Switches
from payments.domain.batch.switch import Switch, SwitchState
from payments.domain.clock import iso
from payments.domain.payment import Payment
from payments.domain.statuses import Status
from tests.unit.builders import NOON, after, batch_payment, payment

PAUSED = Switch(SwitchState.PAUSED, "admin:jo", iso(NOON))


class SwitchScenario:
    """A paused batch, and a clock that stands still."""

    def __init__(self) -> None:
        self.now = NOON
        self.switch = PAUSED
        self.reads: list[str] = []
        batches: Any = self
        self.switches = Switches(batches, lambda: self.now)

    def switch_of(self, batch_id: str) -> Switch:
        """The stored switch; counts the read."""
        self.reads.append(batch_id)
        return self.switch


def test_switch_is_read_once_a_second_for_each_batch() -> None:
    scenario = SwitchScenario()
    for batch_id in ("b1", "b1", "b2", "b1"):
        assert scenario.switches.of(batch_payment(batch_id=batch_id)) == PAUSED
    assert scenario.reads == ["b1", "b2"]
    scenario.switch = Switch()
    assert scenario.switches.of(batch_payment()).holds
    scenario.now += REMEMBERED_FOR
    assert not scenario.switches.of(batch_payment()).holds


@pytest.mark.parametrize(
    "row",
    [
        payment(),
        after(batch_payment(), Status.PROCESSING),
        after(batch_payment(), Status.IN_REVIEW, Status.PENDING, batch_row_closed=True),
    ],
    ids=["over REST", "being sent", "approved after its report"],
)
def test_switch_does_not_decide_about_other_payments(row: Payment) -> None:
    scenario = SwitchScenario()
    assert not scenario.switches.of(row).holds
    assert scenario.reads == []


def test_switches_of_many_batches_are_not_remembered_for_ever() -> None:
    scenario = SwitchScenario()
    for number in range(250):
        scenario.now += timedelta(milliseconds=1)
        scenario.switches.of(batch_payment(batch_id=f"b{number}"))
    assert len(scenario.switches._read) <= 100
