"""Events of the gateway as far as our own state goes (FAULTS 22, 33 to 37): a hint to ask, never an answer."""

import json
import re
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from fakes.customers import MemoryCustomerStore
from fakes.events import MemoryEventStore
from fakes.field_encryptor import MemoryVault
from fakes.gateway import Fault, FaultKind, MemoryGateway
from fakes.payments import MemoryPaymentStore
from fakes.slots import MemorySlotStore
from fakes.tokens import MemoryTokenStore
from fakes.workflow import MemoryWorkflow
from payments.application.charge import Charging
from payments.application.gateway_rate_limiter import Pace
from payments.application.steps import State, charge_step, record_step
from payments.application.validate import PaymentMethods
from payments.application.webhooks import ASK_AGAIN, KEPT_PARKED, Webhooks
from payments.domain.errors import PaymentError
from payments.domain.gateway_event import HANDLED, EventState, GatewayEvent, occasion_of
from payments.domain.money import Money
from payments.domain.payment import Payment
from payments.domain.statuses import Status
from payments.ports.sealed_payments import opened
from tests.unit.builders import NOON, FixedClock, after, gateway_event, payment

STEP_UP = "pm_card_threeDSecure2Required"
SENT = {"gateway_reference": "pi_1"}


class World:
    """A payment, the events about it, and the gateway that knows what is true."""

    def __init__(self, row: Payment | None = None) -> None:
        self.clock = FixedClock()
        self.gateway = MemoryGateway(self.clock)
        self.vault = MemoryVault()
        self.payments = MemoryPaymentStore()
        self.events = MemoryEventStore()
        self.workflow = MemoryWorkflow()
        self.webhooks = Webhooks(self.events, self.payments, self.workflow, self.clock)
        if row:
            self.payments.create(row)

    def run(self, name: str = "") -> Payment:
        """Run an execution that was started, or the payment's own, as the workflow does; gives the row, opened."""
        methods = PaymentMethods(MemoryCustomerStore(), "", MemoryTokenStore(), self.clock)
        reason = {"event_id": self.workflow.reasons[name]} if name in self.workflow.reasons else {}
        state: State = {"payment_id": "pay_1", "ask": name in self.workflow.asking, **reason}
        try:
            state = charge_step(
                state,
                charging=Charging(self.gateway, methods, self.payments, self.clock),
                vault=self.vault,
                pace=Pace(MemorySlotStore(), timedelta(milliseconds=50), self.clock, sleep=lambda seconds: None),
                jitter=lambda most: 0,
            )
        except PaymentError as error:
            cause = json.dumps({"errorMessage": str(error)})
            state = {**state, "error": {"Error": type(error).__name__, "Cause": cause}}
        return opened(record_step(state, store=self.payments, events=self.events, clock=self.clock), self.vault)

    def run_last(self) -> Payment:
        """Run the execution that was started last; gives the row."""
        return self.run(self.workflow.started[-1])

    def sweep(self, *, minutes_old: int) -> None:
        """Apply what is parked, as the sweeper does when the events are so old."""
        self.clock.now = NOON + timedelta(minutes=minutes_old)
        for event in list(self.events.parked()):
            self.webhooks.apply(event)

    def state_of(self, event: GatewayEvent) -> EventState:
        return self.events.events[event.event_id].state


def world_in(*statuses: Status, **changes: Any) -> World:
    return World(after(payment(), *statuses, **changes))


def test_receive_when_the_payment_waits_for_it_then_the_workflow_asks_the_gateway() -> None:
    world = World(payment(method=STEP_UP))
    reference = world.run().gateway_reference
    world.gateway.finish(reference, well=True)
    assert world.webhooks.receive(gateway_event()) is EventState.PARKED
    assert len(world.workflow.started) == len(world.workflow.asking) == 1
    assert world.run_last().status is Status.SUCCEEDED
    assert world.state_of(gateway_event()) is EventState.APPLIED


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
    assert world.webhooks.apply(gateway_event()) is EventState.PARKED
    assert len(world.workflow.asking) == 1
    world.run_last()
    assert world.state_of(gateway_event()) is EventState.APPLIED


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
    assert world.workflow.asking == []
    world.webhooks.receive(gateway_event())
    assert len(world.workflow.asking) == 1


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
    assert [world.webhooks.receive(gateway_event()) for _ in range(3)] == [EventState.PARKED] * 3
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
    assert world.run_last().status is Status.REFUNDED
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
    assert world.webhooks.receive(gateway_event(type)) is EventState.PARKED
    assert len(world.workflow.asking) == 1


@pytest.mark.parametrize("status", [Status.SUCCEEDED, Status.PARTIALLY_REFUNDED])
def test_receive_when_money_went_back_then_the_gateway_is_asked_how_much(status: Status) -> None:
    path = dict.fromkeys((Status.PROCESSING, Status.SUCCEEDED, status))
    world = world_in(*path, **SENT)
    world.webhooks.receive(gateway_event("charge.refunded"))
    assert len(world.workflow.asking) == 1


# Until the gateway has answered -------------------------------------------------------------------------------------

NO_ANSWER = Fault(FaultKind.SERVER_ERROR, call="find", times=100)
OTHER_MONEY = Fault(FaultKind.ALTERED, call="find", money=Money(4711, "CHF"))


def refunded(minor_units: int = 9999) -> World:
    """A payment whose charge, or so much of it, went back at the gateway, which tells us."""
    world = World(payment())
    world.gateway.refund(world.run().gateway_reference, minor_units)
    world.webhooks.receive(gateway_event("charge.refunded"))
    return world


@pytest.mark.parametrize("kind", [FaultKind.SERVER_ERROR, FaultKind.NOT_SENT, FaultKind.UNAUTHORIZED])
def test_receive_when_the_gateway_gives_no_answer_then_the_row_stands_and_the_event_stays_parked(
    kind: FaultKind,
) -> None:
    world = refunded()
    world.gateway.fail(Fault(kind, call="find"))
    assert world.run_last().status is Status.SUCCEEDED
    assert world.state_of(gateway_event()) is EventState.PARKED


def test_apply_when_the_gateway_gives_no_answer_then_asked_again_when_the_event_is_twice_as_old_and_no_sooner() -> None:
    world = refunded()
    asked: list[int] = []
    for minute in range(1, 45):
        world.sweep(minutes_old=minute)
        asked += [minute] * (len(world.workflow.started) - len(asked) - 1)
    assert asked == [ASK_AGAIN * n // timedelta(minutes=1) for n in (1, 2, 4, 8)] == [5, 10, 20, 40]


def test_fault_18_apply_when_the_payment_is_held_for_review_and_money_went_back_then_asked_until_it_fits() -> None:
    world = World(payment())
    world.gateway.fail(Fault(FaultKind.ALTERED, call="charge", money=Money(4711, "CHF")))
    held = world.run()
    world.gateway.refund(held.gateway_reference, 5000)
    world.webhooks.receive(gateway_event("charge.refunded"))
    world.gateway.fail(replace(OTHER_MONEY))
    assert held.status is world.run_last().status is Status.IN_REVIEW
    world.sweep(minutes_old=5)
    assert world.run_last().status is Status.PARTIALLY_REFUNDED
    assert world.state_of(gateway_event()) is EventState.APPLIED


def test_apply_when_it_is_as_old_as_it_can_be_then_the_occasion_is_still_a_word_of_twelve() -> None:
    assert len(occasion_of(gateway_event(), (timedelta(days=36500) // ASK_AGAIN).bit_length())) == 12


def test_receive_when_the_refund_is_asked_about_without_an_answer_then_it_is_recorded_at_last_and_once() -> None:
    world = refunded()
    world.gateway.fail(replace(NO_ANSWER, times=2))
    for minutes, status in ((0, Status.SUCCEEDED), (5, Status.SUCCEEDED), (10, Status.REFUNDED)):
        world.sweep(minutes_old=minutes)
        assert world.run_last().status is status
    assert world.state_of(gateway_event()) is EventState.APPLIED
    version = world.payments.rows["pay_1"].version
    world.sweep(minutes_old=20)
    assert len(world.workflow.started) == 3
    assert world.run_last().version == version


def test_fault_18_receive_when_the_gateway_reports_other_money_then_parked_until_it_fits() -> None:
    world = refunded(5000)
    world.gateway.fail(replace(OTHER_MONEY))
    assert world.run_last().status is Status.SUCCEEDED
    assert world.state_of(gateway_event()) is EventState.PARKED
    world.sweep(minutes_old=5)
    assert world.run_last().status is Status.PARTIALLY_REFUNDED
    assert world.state_of(gateway_event()) is EventState.APPLIED


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
