"""The step of the refund workflow: its waits, and the event that it returns."""

from datetime import timedelta
from typing import Any

import pytest

from fakes.gateway import Fault, FaultKind
from fakes.slots import MemorySlotStore
from payments.application.gateway_rate_limiter import GatewayRateLimiter
from payments.application.refund_steps import refund_step
from payments.domain.clock import iso
from payments.domain.errors import OutcomeUnknown
from payments.ports.slot_counter import NoFreeSlot
from tests.unit.application.test_refund import RefundScenario

REFUND = {"refund_id": "ref_1", "payment_id": "pay_1"}


@pytest.fixture
def scenario() -> RefundScenario:
    return RefundScenario()


def step(scenario: RefundScenario, state: dict[str, Any], rate_limiter: Any = None, **more: Any) -> dict[str, Any]:
    slot = timedelta(milliseconds=50)
    limiter = rate_limiter or GatewayRateLimiter(MemorySlotStore(), slot, scenario.clock, lambda _: None)
    return refund_step(
        state,
        refunding=scenario.refunding,
        rate_limiter=limiter,
        workflow=scenario.workflow,
        jitter=lambda _: 0,
        **more,
    )


def test_step_returns_the_event_with_what_is_refunded_in_all(scenario: RefundScenario) -> None:
    scenario.request()

    state = step(scenario, REFUND)

    event = state["event"]
    assert {name: event[name] for name in ("event_id", "event_type", "status", "amount", "amount_refunded")} == {
        "event_id": "refund:ref_1:3",
        "event_type": "refund",
        "status": "succeeded",
        "amount": "40.00",
        "amount_refunded": "40.00",
    }
    assert step(scenario, REFUND)["event"] == event


def test_429_is_waited_for_by_every_execution(scenario: RefundScenario) -> None:
    scenario.request()
    scenario.gateway.fail(Fault(FaultKind.RATE_LIMITED, call="create_refund", retry_after_seconds=30))

    assert step(scenario, REFUND) == {**REFUND, "wait_seconds": 30, "waits": 1}
    assert scenario.row().not_before > iso(scenario.clock())
    assert 0 < step(scenario, REFUND)["wait_seconds"] <= 30
    scenario.clock.wait(timedelta(seconds=31))
    assert step(scenario, REFUND)["event"]["status"] == "succeeded"


def test_refund_without_a_slot_waits_longer_each_time(scenario: RefundScenario) -> None:
    class Full:
        def take(self) -> Any:
            raise NoFreeSlot

    scenario.request()
    first = step(scenario, REFUND, Full())
    second = step(scenario, first, Full())

    assert (first["wait_seconds"], second["wait_seconds"]) == (5, 10)
    assert step(scenario, second, Full(), longest_wait_seconds=15) == {**REFUND, "left": True}
    assert scenario.row().version == 1


def test_error_that_needs_a_later_answer_is_raised_to_be_retried(scenario: RefundScenario) -> None:
    scenario.request()
    scenario.gateway.fail(Fault(FaultKind.ANSWER_LOST, call="create_refund"))

    with pytest.raises(OutcomeUnknown):
        step(scenario, REFUND)


def test_comparison_starts_an_execution_for_each_refund_that_changed(scenario: RefundScenario) -> None:
    scenario.gateway.refund(scenario.charge, 1000)

    assert step(scenario, {"payment_id": "pay_1"}) == {"payment_id": "pay_1"}
    assert list(scenario.workflow.started) == ["re_1.v1"]
