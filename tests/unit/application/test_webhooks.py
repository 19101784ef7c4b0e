"""Events of the gateway in our own state: each causes a query and is never an answer."""

import json
import re
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from fakes.customers import MemoryCustomerStore
from fakes.events import MemoryEventStore
from fakes.field_encryptor import MemoryFieldEncryptor
from fakes.gateway import Fault, FaultKind, MemoryGateway
from fakes.payments import MemoryPaymentStore
from fakes.slots import MemorySlotStore
from fakes.tokens import MemoryTokenStore
from fakes.workflow import MemoryWorkflow
from payments.application.charge import Charging
from payments.application.gateway_rate_limiter import GatewayRateLimiter
from payments.application.sealed_payments import opened
from payments.application.steps import State, charge_step, record_step
from payments.application.validate import PaymentMethods
from payments.application.webhooks import KEPT_PARKED, Webhooks
from payments.domain.errors import PaymentError
from payments.domain.gateway_event import ASK_AGAIN, HANDLED, REFUNDS, EventState, GatewayEvent, execution_suffix_of
from payments.domain.money import Money
from payments.domain.payment import Payment
from payments.domain.sealed_fields import reference_digest
from payments.domain.sealed_text import is_sealed
from payments.domain.statuses import Status
from payments.ports.payment_gateway import ChargeRequest, GatewayCharge
from tests.unit.builders import NOON, FixedClock, after, gateway_event, payment

STEP_UP = "pm_card_threeDSecure2Required"
SENT = {"gateway_reference": "pi_1"}


class WebhookScenario:
    """A payment, the events about it, and the gateway."""

    def __init__(self, row: Payment | None = None) -> None:
        self.clock = FixedClock()
        self.gateway = MemoryGateway(self.clock)
        self.encryptor = MemoryFieldEncryptor()
        self.payments = MemoryPaymentStore()
        self.events = MemoryEventStore()
        self.workflow = MemoryWorkflow()
        self.webhooks = Webhooks(self.events, self.payments, self.workflow, self.clock, self.encryptor)
        if row:
            self.payments.create(row)

    def run(self, name: str = "") -> Payment:
        """Run a started execution, or the payment's first one, like the workflow. Returns the row in plain text."""
        methods = PaymentMethods(MemoryCustomerStore(), "", MemoryTokenStore(), self.clock)
        reason = {"event_id": self.workflow.reasons[name]} if name in self.workflow.reasons else {}
        if name in self.workflow.references:
            reason["gateway_reference"] = self.workflow.references[name]
        state: State = {"payment_id": "pay_1", "ask": name in self.workflow.reconciling, **reason}
        try:
            state = charge_step(
                state,
                charging=Charging(self.gateway, methods, self.payments, self.clock),
                encryptor=self.encryptor,
                rate_limiter=GatewayRateLimiter(
                    MemorySlotStore(), timedelta(milliseconds=50), self.clock, sleep=lambda seconds: None
                ),
                jitter=lambda most: 0,
            )
        except PaymentError as error:
            cause = json.dumps({"errorMessage": str(error)})
            state = {**state, "error": {"Error": type(error).__name__, "Cause": cause}}
        return opened(record_step(state, store=self.payments, events=self.events, clock=self.clock), self.encryptor)

    def run_last(self) -> Payment:
        """Run the execution that was started last. Returns the row."""
        return self.run(self.workflow.started[-1])

    def recover(self, *, minutes_old: int) -> None:
        """Apply the parked events, as recovery does at this age."""
        self.clock.now = NOON + timedelta(minutes=minutes_old)
        for event in list(self.events.parked()):
            self.webhooks.apply(event)

    def state_of(self, event: GatewayEvent) -> EventState:
        return self.events.events[event.event_id].state


def world_in(*statuses: Status, **changes: Any) -> WebhookScenario:
    return WebhookScenario(after(payment(), *statuses, **changes))


def charge(scenario: WebhookScenario) -> None:
    """Let the gateway have the payment's charge."""
    scenario.gateway.charge(ChargeRequest("pay_1", payment().money, "pm_card_visa"))


def test_receive_of_an_awaited_event_makes_the_workflow_ask_the_gateway() -> None:
    scenario = WebhookScenario(payment(method=STEP_UP))
    reference = scenario.run().gateway_reference
    scenario.gateway.finish(reference, well=True)
    assert scenario.webhooks.receive(gateway_event()) is EventState.PARKED
    assert len(scenario.workflow.started) == len(scenario.workflow.reconciling) == 1
    assert scenario.run_last().status is Status.SUCCEEDED
    assert scenario.state_of(gateway_event()) is EventState.APPLIED


def test_receive_uses_an_alphanumeric_suffix_of_at_most_12_characters() -> None:
    scenario = world_in(Status.PROCESSING, Status.UNKNOWN)
    scenario.webhooks.receive(gateway_event(event_id="evt_" + "x" * 200))
    assert re.fullmatch(r"pay_1\.[A-Za-z][A-Za-z0-9]{1,11}", scenario.workflow.started[0])


@pytest.mark.parametrize("type", ["customer.created", "payment_intent.created", ""])
def test_receive_ignores_an_unhandled_type_and_starts_nothing(type: str) -> None:
    scenario = world_in(Status.PROCESSING, Status.UNKNOWN)
    assert scenario.webhooks.receive(gateway_event(type)) is EventState.IGNORED
    assert scenario.workflow.started == []
    assert list(scenario.events.parked()) == []


def test_receive_when_it_names_no_payment_then_ignored_and_not_parked() -> None:
    scenario = WebhookScenario()
    assert scenario.webhooks.receive(gateway_event(payment_id="")) is EventState.IGNORED
    assert list(scenario.events.parked()) == []


@pytest.mark.fault(57)
def test_receive_ignores_an_event_of_another_environment() -> None:
    scenario = world_in(Status.PROCESSING, Status.UNKNOWN, attempts=1, environment_id="ours")
    scenario.webhooks = replace(scenario.webhooks, environment_id="ours")
    theirs = replace(gateway_event(), environment_id="theirs")
    assert scenario.webhooks.receive(theirs) is EventState.IGNORED
    assert scenario.events.events == {}
    assert scenario.webhooks.receive(replace(theirs, environment_id="ours")) is EventState.PARKED
    assert len(scenario.workflow.reconciling) == 1


@pytest.mark.fault(57)
@pytest.mark.parametrize(("of_row", "of_event"), [("ours", ""), ("", "ours")])
def test_receive_when_the_charge_was_not_sent_by_us_then_contradicts(of_row: str, of_event: str) -> None:
    scenario = world_in(Status.PROCESSING, Status.UNKNOWN, attempts=1, environment_id=of_row)
    scenario.webhooks = replace(scenario.webhooks, environment_id="ours")
    event = replace(gateway_event(), environment_id=of_event)
    assert scenario.webhooks.receive(event) is EventState.CONTRADICTS
    assert scenario.workflow.started == []


def held(code: str = "amount_differs", *, attempts: int, digest: str) -> WebhookScenario:
    """A payment in review, which was sent so often."""
    statuses = [Status.PROCESSING, Status.IN_REVIEW] if attempts else [Status.IN_REVIEW]
    return WebhookScenario(after(payment(), *statuses, attempts=attempts, reference_digest=digest, code=code))


OWN = reference_digest("pay_1", gateway_event().gateway_reference)


@pytest.mark.parametrize(
    ("scenario", "type", "state"),
    [
        (held(attempts=0, digest=""), "payment_intent.succeeded", EventState.CONTRADICTS),
        (held(attempts=0, digest=""), "charge.refunded", EventState.CONTRADICTS),
        (held(attempts=1, digest=""), "payment_intent.succeeded", EventState.PARKED),  # and it asks
        (held(attempts=1, digest=OWN), "payment_intent.succeeded", EventState.APPLIED),
        (held(attempts=1, digest=OWN), "charge.refunded", EventState.PARKED),
        (held(attempts=1, digest="other"), "charge.refunded", EventState.CONTRADICTS),
        (held("several_charges", attempts=1, digest="other"), "charge.refunded", EventState.PARKED),
    ],
    ids=["never sent", "never sent, refund", "no reference", "its own", "its own refund", "another", "one of several"],
)
def test_receive_about_money_of_a_held_payment(scenario: WebhookScenario, type: str, state: EventState) -> None:
    assert scenario.webhooks.receive(gateway_event(type)) is state
    assert len(scenario.workflow.reconciling) == (state is EventState.PARKED)


@pytest.mark.parametrize("scenario", [held(attempts=1, digest=OWN), world_in(Status.PROCESSING, Status.SUCCEEDED)])
def test_event_without_a_reference_is_about_no_other_charge(scenario: WebhookScenario) -> None:
    event = replace(gateway_event(), gateway_reference="", reference_digest="")
    assert scenario.webhooks.receive(event) is EventState.APPLIED


# Early ---------------------------------------------------------------------------------------------------------------


@pytest.mark.fault(35)
def test_receive_parks_an_event_without_a_row_and_applies_it_later() -> None:
    scenario = WebhookScenario()
    assert scenario.webhooks.receive(gateway_event()) is EventState.PARKED
    assert [event.event_id for event in scenario.events.parked()] == ["evt_1"]
    charge(scenario)
    scenario.payments.create(after(payment(), Status.PROCESSING, Status.UNKNOWN))
    scenario.recover(minutes_old=1)
    assert len(scenario.workflow.reconciling) == 1
    scenario.run_last()
    assert scenario.state_of(gateway_event()) is EventState.APPLIED


@pytest.mark.fault(35)
@pytest.mark.parametrize("statuses", [(), (Status.PROCESSING,)], ids=["pending", "processing"])
def test_receive_parks_an_event_and_starts_nothing_while_a_workflow_runs(
    statuses: tuple[Status, ...],
) -> None:
    scenario = world_in(*statuses) if statuses else WebhookScenario(payment())
    assert scenario.webhooks.receive(gateway_event()) is EventState.PARKED
    assert scenario.workflow.started == []


@pytest.mark.fault(35)
def test_receive_of_a_parked_event_again_applies_it_when_it_can() -> None:
    scenario = WebhookScenario()
    scenario.webhooks.receive(gateway_event())
    scenario.payments.create(after(payment(), Status.PROCESSING, Status.UNKNOWN))
    assert scenario.workflow.reconciling == []
    scenario.webhooks.receive(gateway_event())
    assert len(scenario.workflow.reconciling) == 1


@pytest.mark.fault(35)
def test_apply_when_the_payment_never_comes_then_ignored_only_after_a_week() -> None:
    scenario = WebhookScenario()
    scenario.webhooks.receive(gateway_event())
    scenario.clock.wait(KEPT_PARKED - timedelta(seconds=10))
    assert scenario.webhooks.apply(gateway_event()) is EventState.PARKED
    scenario.clock.wait(timedelta(seconds=10))
    assert scenario.webhooks.apply(gateway_event()) is EventState.IGNORED
    assert scenario.state_of(gateway_event()) is EventState.IGNORED


# Twice, and in any order --------------------------------------------------------------------------------------------


@pytest.mark.fault(36)
def test_receive_when_delivered_twice_then_one_execution() -> None:
    scenario = world_in(Status.PROCESSING, Status.UNKNOWN)
    assert [scenario.webhooks.receive(gateway_event()) for _ in range(3)] == [EventState.PARKED] * 3
    assert len(scenario.workflow.started) == 1


@pytest.mark.fault(36)
def test_receive_when_two_events_tell_of_it_then_each_may_ask() -> None:
    scenario = world_in(Status.PROCESSING, Status.UNKNOWN)
    scenario.webhooks.receive(gateway_event(event_id="evt_1"))
    scenario.webhooks.receive(gateway_event(event_id="evt_2"))
    assert len(scenario.workflow.started) == 2


@pytest.mark.fault(36)
@pytest.mark.parametrize("late", [type for type in HANDLED if type not in REFUNDS])
def test_receive_of_a_late_event_for_a_captured_payment_starts_nothing(late: str) -> None:
    scenario = world_in(Status.PROCESSING, Status.SUCCEEDED, **SENT)
    assert scenario.webhooks.receive(gateway_event(late)) is EventState.APPLIED
    assert scenario.workflow.started == []


@pytest.mark.fault(36)
def test_receive_of_a_refund_before_the_success_ends_refunded() -> None:
    scenario = WebhookScenario(payment(method=STEP_UP))
    reference = scenario.run().gateway_reference
    scenario.gateway.finish(reference, well=True)
    scenario.gateway.refund(reference, 9999)
    scenario.webhooks.receive(gateway_event("charge.refunded", "evt_2"))
    assert scenario.run_last().status is Status.REFUNDED
    scenario.webhooks.receive(gateway_event("payment_intent.succeeded", "evt_1"))
    assert scenario.run().status is Status.REFUNDED
    assert len(scenario.workflow.started) == 1


@pytest.mark.fault(36)
@pytest.mark.parametrize(
    ("status", "type"),
    [(Status.PROCESSING, "payment_intent.processing"), (Status.REQUIRES_ACTION, "payment_intent.requires_action")],
)
def test_receive_of_what_the_row_already_says_does_not_ask_the_gateway(status: Status, type: str) -> None:
    path = dict.fromkeys((Status.PROCESSING, status))
    scenario = world_in(*path, **SENT)
    assert scenario.webhooks.receive(gateway_event(type)) is EventState.APPLIED
    assert scenario.workflow.started == []


@pytest.mark.parametrize("status", [Status.PROCESSING, Status.UNKNOWN, Status.REQUIRES_ACTION])
@pytest.mark.parametrize("type", ["payment_intent.succeeded", "payment_intent.payment_failed", "charge.refunded"])
def test_receive_when_it_says_more_than_the_row_then_the_gateway_is_asked(status: Status, type: str) -> None:
    path = dict.fromkeys((Status.PROCESSING, status))
    scenario = world_in(*path, **SENT)
    assert scenario.webhooks.receive(gateway_event(type)) is EventState.PARKED
    assert len(scenario.workflow.reconciling) == 1


@pytest.mark.parametrize("status", [Status.SUCCEEDED, Status.PARTIALLY_REFUNDED])
def test_receive_when_money_went_back_then_the_gateway_is_asked_how_much(status: Status) -> None:
    path = dict.fromkeys((Status.PROCESSING, Status.SUCCEEDED, status))
    scenario = world_in(*path, **SENT)
    scenario.webhooks.receive(gateway_event("charge.refunded"))
    assert len(scenario.workflow.reconciling) == 1


# Until the gateway has answered -------------------------------------------------------------------------------------

NO_ANSWER = Fault(FaultKind.SERVER_ERROR, call="find", times=100)
OTHER_MONEY = Fault(FaultKind.ALTERED, call="find", money=Money(4711, "CHF"))


def refunded(minor_units: int = 9999) -> WebhookScenario:
    """A payment that the gateway refunded, in whole or in part, with the event."""
    scenario = WebhookScenario(payment())
    scenario.gateway.refund(scenario.run().gateway_reference, minor_units)
    scenario.webhooks.receive(gateway_event("charge.refunded"))
    return scenario


@pytest.mark.parametrize("kind", [FaultKind.SERVER_ERROR, FaultKind.NOT_SENT, FaultKind.UNAUTHORIZED])
def test_receive_without_a_gateway_answer_keeps_row_and_parked_event(
    kind: FaultKind,
) -> None:
    scenario = refunded()
    scenario.gateway.fail(Fault(kind, call="find"))
    assert scenario.run_last().status is Status.SUCCEEDED
    assert scenario.state_of(gateway_event()) is EventState.PARKED


def test_apply_without_an_answer_asks_again_when_the_event_is_twice_as_old() -> None:
    scenario = refunded()
    asked: list[int] = []
    for minute in range(1, 45):
        scenario.recover(minutes_old=minute)
        asked += [minute] * (len(scenario.workflow.started) - len(asked) - 1)
    assert asked == [ASK_AGAIN * n // timedelta(minutes=1) for n in (1, 2, 4, 8)] == [5, 10, 20, 40]


@pytest.mark.fault(18)
def test_apply_asks_about_a_refund_of_one_in_review_until_it_fits() -> None:
    scenario = WebhookScenario(payment())
    scenario.gateway.fail(Fault(FaultKind.ALTERED, call="charge", money=Money(4711, "CHF")))
    held = scenario.run()
    scenario.gateway.refund(held.gateway_reference, 5000)
    scenario.webhooks.receive(gateway_event("charge.refunded"))
    scenario.gateway.fail(replace(OTHER_MONEY))
    assert held.status is scenario.run_last().status is Status.IN_REVIEW
    scenario.recover(minutes_old=5)
    assert scenario.run_last().status is Status.PARTIALLY_REFUNDED
    assert scenario.state_of(gateway_event()) is EventState.APPLIED


def test_suffix_of_the_oldest_possible_event_has_12_characters() -> None:
    assert len(execution_suffix_of(gateway_event(), (timedelta(days=36500) // ASK_AGAIN).bit_length())) == 12


def test_receive_of_an_unanswered_refund_records_it_in_the_end_and_once() -> None:
    scenario = refunded()
    scenario.gateway.fail(replace(NO_ANSWER, times=2))
    for minutes, status in ((0, Status.SUCCEEDED), (5, Status.SUCCEEDED), (10, Status.REFUNDED)):
        scenario.recover(minutes_old=minutes)
        assert scenario.run_last().status is status
    assert scenario.state_of(gateway_event()) is EventState.APPLIED
    version = scenario.payments.rows["pay_1"].version
    scenario.recover(minutes_old=20)
    assert len(scenario.workflow.started) == 3
    assert scenario.run_last().version == version


@pytest.mark.fault(18)
def test_receive_parks_the_event_until_the_reported_amount_fits() -> None:
    scenario = refunded(5000)
    scenario.gateway.fail(replace(OTHER_MONEY))
    assert scenario.run_last().status is Status.SUCCEEDED
    assert scenario.state_of(gateway_event()) is EventState.PARKED
    scenario.recover(minutes_old=5)
    assert scenario.run_last().status is Status.PARTIALLY_REFUNDED
    assert scenario.state_of(gateway_event()) is EventState.APPLIED


# Refunds: their own events name the charge only ----------------------------------------------------------------------


def refund_event(type: str = "refund.failed", *, reference: str = "mem_1") -> GatewayEvent:
    return gateway_event(type, "evt_refund", payment_id="", reference=reference)


@pytest.mark.parametrize("type", [type for type in REFUNDS if type != "charge.refunded"])
def test_receive_of_a_refund_event_parks_it_with_a_sealed_reference(type: str) -> None:
    scenario = refunded()
    assert scenario.webhooks.receive(refund_event(type)) is EventState.PARKED
    stored = scenario.events.events["evt_refund"]
    assert is_sealed(stored.gateway_reference)
    assert (stored.payment_id, stored.reference_digest) == ("", "")


@pytest.mark.parametrize(
    "event", [refund_event(reference=""), replace(refund_event("payment_intent.succeeded"), payment_id="")]
)
def test_receive_ignores_an_event_that_leads_to_no_payment(event: GatewayEvent) -> None:
    scenario = refunded()
    assert scenario.webhooks.receive(event) is EventState.IGNORED
    assert "evt_refund" not in scenario.events.events


@pytest.mark.parametrize(("minor_units", "status"), [(9999, Status.SUCCEEDED), (5000, Status.PARTIALLY_REFUNDED)])
def test_identify_leads_a_failed_refund_to_its_payment(minor_units: int, status: Status) -> None:
    scenario = refunded()
    assert scenario.run_last().status is Status.REFUNDED
    scenario.gateway.fail_refund("mem_1", minor_units)
    scenario.webhooks.receive(refund_event())
    event = scenario.webhooks.identify(scenario.events.events["evt_refund"], scenario.gateway.ids_of)
    assert event
    assert event == scenario.events.events["evt_refund"]
    assert (event.payment_id, event.gateway_reference) == ("pay_1", "")
    assert scenario.webhooks.apply(event) is EventState.PARKED
    row = scenario.run_last()
    assert (row.status, row.refunded_minor_units) == (status, 9999 - minor_units)
    assert scenario.state_of(event) is EventState.APPLIED


@pytest.mark.parametrize("ids", [("", ""), ("pay_1", "of_another_one")], ids=["system", "environment"])
def test_identify_ignores_a_refund_of_another_system_or_environment(ids: tuple[str, str]) -> None:
    scenario = refunded()
    scenario.webhooks.receive(refund_event())
    assert scenario.webhooks.identify(scenario.events.events["evt_refund"], lambda _: ids) is None
    assert scenario.state_of(refund_event()) is EventState.IGNORED


def test_identify_gives_up_after_a_week_without_a_query() -> None:
    scenario = refunded()
    scenario.webhooks.receive(refund_event())
    scenario.clock.wait(KEPT_PARKED)
    assert scenario.webhooks.identify(scenario.events.events["evt_refund"], lambda _: pytest.fail("asked")) is None
    assert scenario.state_of(refund_event()) is EventState.IGNORED


def test_receive_of_a_second_partial_refund_updates_the_amount() -> None:
    scenario = refunded(1000)
    assert scenario.run_last().refunded_minor_units == 1000
    scenario.gateway.refund("mem_1", 500)
    scenario.webhooks.receive(gateway_event("charge.refunded", "evt_2"))
    row = scenario.run_last()
    assert (row.status, row.refunded_minor_units) == (Status.PARTIALLY_REFUNDED, 1500)


def test_event_answered_before_a_newer_refund_was_recorded_stays_parked() -> None:
    """Two executions ask; the one with the older answer records last."""
    scenario = refunded(1000)
    older = scenario.workflow.started[-1]
    find = scenario.gateway.find

    def overtaken(payment_id: str, reference: str = "", *, environment_id: str = "") -> GatewayCharge | None:
        answer = find(payment_id, reference, environment_id=environment_id)
        scenario.gateway.find = find  # type: ignore[method-assign]
        scenario.gateway.refund("mem_1", 500)
        scenario.webhooks.receive(gateway_event("charge.refunded", "evt_2"))
        assert scenario.run_last().refunded_minor_units == 1500
        return answer

    scenario.gateway.find = overtaken  # type: ignore[method-assign]
    assert scenario.run(older).refunded_minor_units == 1500
    assert scenario.state_of(gateway_event()) is EventState.PARKED
    scenario.recover(minutes_old=5)
    assert scenario.run_last().refunded_minor_units == 1500
    assert scenario.state_of(gateway_event()) is EventState.APPLIED


# The charge that an event names -------------------------------------------------------------------------------------


def lost_answer(*, event_arrives: bool = False) -> WebhookScenario:
    """A payment whose charge was made without an answer, and that the search does not show."""
    scenario = WebhookScenario(payment())

    def tell(*_: str) -> None:
        if event_arrives:
            assert scenario.webhooks.receive(gateway_event()) is EventState.PARKED

    scenario.gateway = MemoryGateway(scenario.clock, search_lag=timedelta(days=9), tell=tell)
    scenario.gateway.fail(Fault(FaultKind.SERVER_ERROR, call="charge"))
    assert scenario.run().status is Status.UNKNOWN
    return scenario


@pytest.mark.fault(50)
def test_event_names_the_charge_that_the_search_does_not_show() -> None:
    scenario = lost_answer()
    scenario.webhooks.receive(gateway_event())
    stored = scenario.state_of(gateway_event()), scenario.workflow.references[scenario.workflow.started[-1]]
    assert stored[0] is EventState.PARKED
    assert is_sealed(stored[1])
    row = scenario.run_last()
    assert (row.status, row.gateway_reference) == (Status.SUCCEEDED, "mem_1")
    assert scenario.state_of(gateway_event()) is EventState.APPLIED


@pytest.mark.fault(50)
def test_event_parked_before_the_answer_is_lost_still_names_the_charge() -> None:
    scenario = lost_answer(event_arrives=True)
    scenario.recover(minutes_old=5)
    assert scenario.run_last().status is Status.SUCCEEDED


def test_event_without_an_answer_leaves_its_reference_on_the_row() -> None:
    scenario = lost_answer()
    scenario.webhooks.receive(gateway_event())
    scenario.gateway.fail(replace(NO_ANSWER, times=1))
    row = scenario.run_last()
    assert (row.status, row.gateway_reference) == (Status.UNKNOWN, "mem_1")


def test_reference_of_an_event_is_stored_only_where_it_is_needed() -> None:
    scenario = WebhookScenario(payment())
    scenario.run()
    scenario.webhooks.receive(gateway_event())
    scenario.webhooks.receive(gateway_event("charge.refunded", "evt_2"))
    assert [event.gateway_reference for event in scenario.events.events.values()] == ["", ""]


@pytest.mark.fault(56)
def test_event_answered_by_unknown_stays_open_and_asks_again() -> None:
    scenario = lost_answer()
    scenario.webhooks.receive(gateway_event(reference=""))  # it names no charge, and the search does not show one
    assert scenario.run_last().status is Status.UNKNOWN
    assert scenario.state_of(gateway_event()) is EventState.PARKED
    scenario.recover(minutes_old=5)
    assert len(scenario.workflow.started) == 2


@pytest.mark.fault(56)
def test_refund_of_a_charge_that_is_not_shown_stays_open() -> None:
    scenario = world_in(Status.PROCESSING, Status.SUCCEEDED)
    scenario.webhooks.receive(gateway_event("charge.refunded", reference=""))
    assert scenario.run_last().status is Status.SUCCEEDED
    assert scenario.state_of(gateway_event()) is EventState.PARKED


# Contradictions ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("statuses", [(Status.PROCESSING, Status.DECLINED), (Status.REJECTED,), (Status.FAILED,)])
@pytest.mark.parametrize("type", ["payment_intent.succeeded", "charge.refunded"])
def test_receive_of_money_for_a_payment_that_ended_unpaid_contradicts(statuses: tuple[Status, ...], type: str) -> None:
    scenario = world_in(*statuses)
    assert scenario.webhooks.receive(gateway_event(type)) is EventState.CONTRADICTS
    assert scenario.state_of(gateway_event()) is EventState.CONTRADICTS
    assert scenario.workflow.started == []
    assert scenario.payments.rows["pay_1"].status is statuses[-1]


@pytest.mark.parametrize("type", HANDLED)
def test_receive_of_a_second_charge_of_a_settled_payment_contradicts(type: str) -> None:
    scenario = WebhookScenario(payment())
    assert scenario.run().status is Status.SUCCEEDED
    assert scenario.webhooks.receive(gateway_event(reference="mem_1")) is EventState.APPLIED
    other = gateway_event(type, "evt_2", reference="mem_2")
    assert scenario.webhooks.receive(other) is EventState.CONTRADICTS
    assert scenario.state_of(other) is EventState.CONTRADICTS
    assert scenario.workflow.started == []
    stored = scenario.events.events["evt_2"].gateway_reference
    assert scenario.encryptor.open({"payment_id": "pay_1"}, {"gateway_reference": stored}) == {
        "gateway_reference": "mem_2"
    }


def test_apply_of_a_parked_event_about_another_charge_contradicts() -> None:
    scenario = WebhookScenario(payment())
    scenario.webhooks.receive(gateway_event(reference="mem_2"))
    scenario.run()
    scenario.recover(minutes_old=1)
    assert scenario.state_of(gateway_event()) is EventState.CONTRADICTS


def test_reference_of_a_row_without_a_digest_cannot_contradict() -> None:
    scenario = world_in(Status.PROCESSING, Status.SUCCEEDED, **SENT)
    assert scenario.webhooks.receive(gateway_event(reference="mem_2")) is EventState.APPLIED


def test_receive_of_a_failure_for_a_failed_payment_is_no_contradiction() -> None:
    scenario = world_in(Status.PROCESSING, Status.DECLINED)
    assert scenario.webhooks.receive(gateway_event("payment_intent.payment_failed")) is EventState.APPLIED


def test_receive_of_an_event_for_another_payment_asks_about_that_one() -> None:
    scenario = world_in(Status.PROCESSING, Status.UNKNOWN)
    scenario.payments.create(after(payment("pay_2"), Status.PROCESSING, Status.UNKNOWN))
    scenario.webhooks.receive(gateway_event(payment_id="pay_2"))
    assert [name.partition(".")[0] for name in scenario.workflow.started] == ["pay_2"]
