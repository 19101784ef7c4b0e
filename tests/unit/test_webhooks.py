"""Events of the gateway as far as our own state goes (FAULTS 22, 33 to 37): a hint to ask, never an answer."""

import re
from datetime import timedelta
from typing import Any

import pytest

from payments.charging import Charging
from payments.gateways.memory import MemoryGateway
from payments.outcome import answered
from payments.payment import Payment
from payments.recording import record
from payments.statuses import Status
from payments.stores.events_memory import MemoryEventStore
from payments.stores.memory import MemoryCustomerStore, MemoryPaymentStore
from payments.validating import PaymentMethods
from payments.webhooks import HANDLED, KEPT_PARKED, EventState, GatewayEvent, Webhooks
from payments.workflow import MemoryWorkflow
from tests.unit.builders import FixedClock, after, gateway_event, payment

STEP_UP = "pm_card_threeDSecure2Required"
SENT = {"gateway_reference": "pi_1"}


class World:
    """A payment, the events about it, and the gateway that knows what is true."""

    def __init__(self, row: Payment | None = None) -> None:
        self.clock = FixedClock()
        self.gateway = MemoryGateway(self.clock)
        self.payments = MemoryPaymentStore()
        self.events = MemoryEventStore()
        self.workflow = MemoryWorkflow()
        self.webhooks = Webhooks(self.events, self.payments, self.workflow, self.clock)
        if row:
            self.payments.create(row)

    def run(self) -> Payment:
        """Run the execution that asks, as the workflow does; gives the row."""
        methods = PaymentMethods(MemoryCustomerStore(), "")
        charging = Charging(self.gateway, methods, self.payments, self.clock)
        outcome = answered(lambda: charging.charge(self.payments.rows["pay_1"], ask=True))
        assert outcome
        return record("pay_1", outcome, store=self.payments, clock=self.clock)

    def state_of(self, event: GatewayEvent) -> EventState:
        return self.events.events[event.event_id].state


def world_in(*statuses: Status, **changes: Any) -> World:
    return World(after(payment(), *statuses, **changes))


def test_receive_when_the_payment_waits_for_it_then_the_workflow_asks_the_gateway() -> None:
    world = World(payment(method=STEP_UP))
    reference = world.run().gateway_reference
    world.gateway.finish(reference, well=True)
    assert world.webhooks.receive(gateway_event()) is EventState.APPLIED
    assert len(world.workflow.started) == len(world.workflow.asking) == 1
    assert world.run().status is Status.SUCCEEDED


def test_receive_when_it_asks_then_the_occasion_is_a_word_of_at_most_twelve_letters_and_digits() -> None:
    world = world_in(Status.PROCESSING, Status.UNKNOWN)
    world.webhooks.receive(gateway_event(event_id="evt_" + "x" * 200))
    assert re.fullmatch(r"pay_1\.[A-Za-z][A-Za-z0-9]{1,11}", world.workflow.started[0])


@pytest.mark.parametrize("type", ["customer.created", "payment_intent.created", ""])
def test_receive_when_of_no_type_that_we_handle_then_ignored_and_nothing_is_started(type: str) -> None:
    world = world_in(Status.PROCESSING, Status.UNKNOWN)
    assert world.webhooks.receive(gateway_event(type)) is EventState.IGNORED
    assert world.workflow.started == []
    assert list(world.events.parked()) == []


def test_receive_when_it_names_no_payment_then_ignored_and_not_parked() -> None:
    world = World()
    assert world.webhooks.receive(gateway_event(payment_id="")) is EventState.IGNORED
    assert list(world.events.parked()) == []


# Early ---------------------------------------------------------------------------------------------------------------


def test_fault_35_receive_when_the_payments_row_is_not_there_yet_then_parked_and_applied_later() -> None:
    world = World()
    assert world.webhooks.receive(gateway_event()) is EventState.PARKED
    assert list(world.events.parked()) == [gateway_event()]
    world.payments.create(after(payment(), Status.PROCESSING, Status.UNKNOWN))
    assert world.webhooks.apply(gateway_event()) is EventState.APPLIED
    assert len(world.workflow.asking) == 1
    assert list(world.events.parked()) == []


@pytest.mark.parametrize("statuses", [(), (Status.PROCESSING,)], ids=["pending", "processing"])
def test_fault_35_receive_when_a_workflow_is_at_the_payment_then_parked_and_not_in_its_way(
    statuses: tuple[Status, ...],
) -> None:
    world = world_in(*statuses) if statuses else World(payment())
    assert world.webhooks.receive(gateway_event()) is EventState.PARKED
    assert world.workflow.started == []


def test_fault_35_receive_when_delivered_again_while_parked_then_applied_if_the_time_has_come() -> None:
    world = World()
    world.webhooks.receive(gateway_event())
    world.payments.create(after(payment(), Status.PROCESSING, Status.UNKNOWN))
    assert world.webhooks.receive(gateway_event()) is EventState.APPLIED


def test_fault_35_apply_when_the_payment_never_comes_then_ignored_only_after_a_week() -> None:
    world = World()
    world.webhooks.receive(gateway_event())
    world.clock.wait(KEPT_PARKED - timedelta(seconds=10))
    assert world.webhooks.apply(gateway_event()) is EventState.PARKED
    world.clock.wait(timedelta(seconds=10))
    assert world.webhooks.apply(gateway_event()) is EventState.IGNORED
    assert world.state_of(gateway_event()) is EventState.IGNORED


# Twice, and in any order --------------------------------------------------------------------------------------------


def test_fault_36_receive_when_delivered_twice_then_one_execution() -> None:
    world = world_in(Status.PROCESSING, Status.UNKNOWN)
    assert [world.webhooks.receive(gateway_event()) for _ in range(3)] == [EventState.APPLIED] * 3
    assert len(world.workflow.started) == 1


def test_fault_36_receive_when_two_events_tell_of_it_then_each_may_ask() -> None:
    world = world_in(Status.PROCESSING, Status.UNKNOWN)
    world.webhooks.receive(gateway_event(event_id="evt_1"))
    world.webhooks.receive(gateway_event(event_id="evt_2"))
    assert len(world.workflow.started) == 2


@pytest.mark.parametrize("late", [type for type in HANDLED if type != "charge.refunded"])
def test_fault_36_receive_when_the_payment_is_captured_then_a_late_event_starts_nothing(late: str) -> None:
    world = world_in(Status.PROCESSING, Status.SUCCEEDED, **SENT)
    assert world.webhooks.receive(gateway_event(late)) is EventState.APPLIED
    assert world.workflow.started == []


def test_fault_36_receive_when_the_refund_comes_before_the_success_then_the_row_ends_refunded() -> None:
    world = World(payment(method=STEP_UP))
    reference = world.run().gateway_reference
    world.gateway.finish(reference, well=True)
    world.gateway.refund(reference, 9999)
    world.webhooks.receive(gateway_event("charge.refunded", "evt_2"))
    assert world.run().status is Status.REFUNDED
    world.webhooks.receive(gateway_event("payment_intent.succeeded", "evt_1"))
    assert world.run().status is Status.REFUNDED
    assert len(world.workflow.started) == 1


@pytest.mark.parametrize(
    ("status", "type"),
    [(Status.PROCESSING, "payment_intent.processing"), (Status.REQUIRES_ACTION, "payment_intent.requires_action")],
)
def test_fault_36_receive_when_it_says_what_the_row_says_then_nobody_is_asked(status: Status, type: str) -> None:
    path = dict.fromkeys((Status.PROCESSING, status))
    world = world_in(*path, **SENT)
    assert world.webhooks.receive(gateway_event(type)) is EventState.APPLIED
    assert world.workflow.started == []


@pytest.mark.parametrize("status", [Status.PROCESSING, Status.UNKNOWN, Status.REQUIRES_ACTION])
@pytest.mark.parametrize("type", ["payment_intent.succeeded", "payment_intent.payment_failed", "charge.refunded"])
def test_receive_when_it_says_more_than_the_row_then_the_gateway_is_asked(status: Status, type: str) -> None:
    path = dict.fromkeys((Status.PROCESSING, status))
    world = world_in(*path, **SENT)
    assert world.webhooks.receive(gateway_event(type)) is EventState.APPLIED
    assert len(world.workflow.asking) == 1


@pytest.mark.parametrize("status", [Status.SUCCEEDED, Status.PARTIALLY_REFUNDED])
def test_receive_when_money_went_back_then_the_gateway_is_asked_how_much(status: Status) -> None:
    path = dict.fromkeys((Status.PROCESSING, Status.SUCCEEDED, status))
    world = world_in(*path, **SENT)
    world.webhooks.receive(gateway_event("charge.refunded"))
    assert len(world.workflow.asking) == 1


# Against what we say ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("statuses", [(Status.PROCESSING, Status.DECLINED), (Status.REJECTED,), (Status.FAILED,)])
@pytest.mark.parametrize("type", ["payment_intent.succeeded", "charge.refunded"])
def test_receive_when_the_gateway_holds_money_for_one_that_ended_without_then_a_person_must_look(
    statuses: tuple[Status, ...], type: str
) -> None:
    world = world_in(*statuses)
    assert world.webhooks.receive(gateway_event(type)) is EventState.CONTRADICTS
    assert world.state_of(gateway_event()) is EventState.CONTRADICTS
    assert world.workflow.started == []
    assert world.payments.rows["pay_1"].status is statuses[-1]


def test_receive_when_a_failure_is_told_of_one_that_failed_then_nothing_contradicts() -> None:
    world = world_in(Status.PROCESSING, Status.DECLINED)
    assert world.webhooks.receive(gateway_event("payment_intent.payment_failed")) is EventState.APPLIED


def test_receive_when_the_event_is_of_another_payment_then_that_one_is_asked_about() -> None:
    world = world_in(Status.PROCESSING, Status.UNKNOWN)
    world.payments.create(after(payment("pay_2"), Status.PROCESSING, Status.UNKNOWN))
    world.webhooks.receive(gateway_event(payment_id="pay_2"))
    assert [name.partition(".")[0] for name in world.workflow.started] == ["pay_2"]
