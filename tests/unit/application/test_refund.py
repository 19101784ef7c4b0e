"""Refunds are accepted once, sent at most once, and never exceed what was captured."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from fakes.field_encryptor import MemoryFieldEncryptor
from fakes.gateway import Fault, FaultKind, MemoryGateway
from fakes.payments import MemoryPaymentStore
from fakes.refund_gateway import MemoryRefunds
from fakes.refund_workflow import MemoryRefundWorkflow
from fakes.refunds import MemoryRefundStore
from payments.application.refund import AMOUNT_DIFFERS, CONTRADICTS, FAILED_LATE, Refunding
from payments.application.request_refund import OtherRefund, RefundRequests, opened_metadata
from payments.domain.clock import iso
from payments.domain.errors import Misconfigured, NotSent, OutcomeUnknown, PaymentError, RateLimited
from payments.domain.money import Money
from payments.domain.payment import Payment
from payments.domain.refund import Refund, RefundRequest, refund_moved
from payments.domain.refund_statuses import RefundStatus
from payments.domain.refundable import NotRefundable, books_of
from payments.domain.sealed_text import is_sealed
from payments.domain.statuses import Status
from payments.ports.payment_gateway import ChargeRequest
from payments.ports.payment_store import VersionConflict, require
from payments.ports.refund_store import require_refund
from tests.unit.builders import FixedClock, after, payment

_S = RefundStatus
HOUR = timedelta(hours=1)


class RefundScenario:
    """One payment of 99.99 USD that the gateway captured, and its refunds."""

    def __init__(self, method: str = "pm_card_visa") -> None:
        self.clock = FixedClock()
        self.encryptor = MemoryFieldEncryptor()
        self.gateway = MemoryGateway(self.clock, prefix="pi_")
        charged = self.gateway.charge(ChargeRequest("pay_1", Money(9999, "USD"), method, environment_id="env"))
        self.charge = charged.reference
        self.payments = MemoryPaymentStore(self.encryptor)
        row = payment()
        self.payments.create(row)
        for status in (Status.PROCESSING, Status.SUCCEEDED):
            reference = self.charge if status is Status.SUCCEEDED else ""
            self.payments.save(after(require(self.payments, "pay_1"), status, attempts=1, gateway_reference=reference))
        self.workflow = MemoryRefundWorkflow()
        self.refunds = MemoryRefundStore(self.payments, written=self._check)
        self.requests = RefundRequests(self.payments, self.refunds, self.workflow, self.encryptor)
        self.is_open = True
        self.refunding = Refunding(
            MemoryRefunds(self.gateway),
            self.payments,
            self.refunds,
            self.encryptor,
            self.clock,
            environment_id="env",
            is_open=lambda: self.is_open,
        )

    def _check(self, _: Refund, payment: Payment) -> None:
        reserved = sum(refund.reserved_minor_units for refund in self.refunds.rows.values())
        assert payment.reserved_minor_units == reserved

    @property
    def payment(self) -> Payment:
        return require(self.payments, "pay_1")

    def request(self, refund_id: str = "ref_1", minor_units: int | None = 4000, **more: Any) -> Refund:
        money = None if minor_units is None else Money(minor_units, "USD")
        asked = RefundRequest(refund_id, "pay_1", money, **more)
        return self.requests.request(asked, by="admin:sub_jo", at=self.clock(), requested_by="sub_jo").refund

    def row(self, refund_id: str = "ref_1") -> Refund:
        return require_refund(self.refunds, refund_id)

    def process(self, refund_id: str = "ref_1") -> Refund:
        return self.refunding.process(refund_id)

    def fail(self, kind: str, call: Any = "create_refund", **more: Any) -> None:
        self.gateway.fail(Fault(FaultKind(kind), call=call, **more))

    def at_gateway(self) -> int:
        return sum(refund.money.minor_units for refund in self.gateway.refunds if refund.money)


@pytest.fixture
def scenario() -> RefundScenario:
    return RefundScenario()


# Acceptance ------------------------------------------------------------------------------------------------------


def test_refund_is_accepted_reserved_and_started_once(scenario: RefundScenario) -> None:
    first = scenario.request(metadata={"order": "A-17"})
    again = scenario.request(metadata={"order": "A-17"})

    assert (again, list(scenario.workflow.started)) == (first, ["ref_1"])
    assert (scenario.payment.reserved_minor_units, books_of(scenario.payment).left) == (4000, 5999)
    assert is_sealed(first.metadata["order"])
    assert opened_metadata(first, scenario.encryptor) == {"order": "A-17"}


@pytest.mark.fault(80)
def test_same_refund_id_with_another_amount_is_refused(scenario: RefundScenario) -> None:
    scenario.request()

    with pytest.raises(OtherRefund):
        scenario.request(minor_units=4100)
    assert scenario.payment.reserved_minor_units == 4000


@pytest.mark.fault(38)
def test_of_two_refunds_of_60_of_100_one_is_refused(scenario: RefundScenario) -> None:
    scenario.request("ref_1", 6000)

    with pytest.raises(NotRefundable, match=r"is more than what is left of payment pay_1, which is 39\.99 USD"):
        scenario.request("ref_2", 6000)


def test_refund_without_amount_takes_the_rest_and_repeats_as_the_same(scenario: RefundScenario) -> None:
    scenario.request("ref_1", 4000)
    rest = scenario.request("ref_2", None)
    scenario.process()

    assert rest.money == Money(5999, "USD")
    assert scenario.request("ref_2", None) == rest


def test_lost_race_for_the_row_is_tried_again(scenario: RefundScenario) -> None:
    class OnceLost(MemoryRefundStore):
        lost = False

        def create(self, refund: Refund, payment: Payment) -> None:
            if not self.lost:
                self.lost = True
                raise VersionConflict("another execution wrote")
            super().create(refund, payment)

    scenario.requests = replace(scenario.requests, refunds=OnceLost(scenario.payments))
    assert scenario.request().status is _S.PENDING


# Sending -----------------------------------------------------------------------------------------------------------


def test_refund_is_sent_once_and_moves_from_reserved_to_refunded(scenario: RefundScenario) -> None:
    scenario.request()
    done = scenario.process()

    assert (done.status, done.gateway_reference, done.attempts) == (_S.SUCCEEDED, "re_1", 1)
    row = scenario.payment
    assert (row.reserved_minor_units, row.refunded_minor_units, row.status) == (0, 4000, Status.PARTIALLY_REFUNDED)
    assert scenario.process() == done
    assert scenario.at_gateway() == 4000


@pytest.mark.fault(80)
@pytest.mark.parametrize("executes", [True, False])
def test_lost_answer_stays_processing_and_the_list_finds_the_refund(scenario: RefundScenario, executes: bool) -> None:
    scenario.request()
    scenario.fail("answer_lost", executes=executes)
    with pytest.raises(OutcomeUnknown):
        scenario.process()
    assert (scenario.row().status, scenario.payment.reserved_minor_units) == (_S.PROCESSING, 4000)

    assert scenario.process().status is _S.SUCCEEDED
    assert scenario.at_gateway() == 4000


@pytest.mark.fault(80)
@pytest.mark.parametrize("executes", [True, False])
def test_after_23_hours_nothing_is_sent_and_the_list_decides(scenario: RefundScenario, executes: bool) -> None:
    scenario.request()
    scenario.fail("server_error", executes=executes)
    scenario.fail("server_error", call="refunds_of", times=3)
    with pytest.raises(OutcomeUnknown):
        scenario.process()
    scenario.gateway._faults.clear()
    if scenario.row().status is _S.PENDING:  # the first question failed: nothing was sent yet
        scenario.fail("server_error", executes=executes)
        with pytest.raises(OutcomeUnknown):
            scenario.process()
    scenario.clock.wait(25 * HOUR)

    ended = scenario.process()

    assert ended.status is (_S.SUCCEEDED if executes else _S.FAILED)
    assert ended.attempts == 1
    assert scenario.payment.reserved_minor_units == 0
    assert scenario.payment.refunded_minor_units == scenario.at_gateway() == (4000 if executes else 0)


def test_list_proves_nothing_while_a_request_may_still_arrive(scenario: RefundScenario) -> None:
    scenario.request()
    scenario.fail("answer_lost", executes=False)
    with pytest.raises(OutcomeUnknown):
        scenario.process()
    scenario.payments.rows["pay_1"] = replace(scenario.payment, status=Status.DISPUTED)

    assert scenario.process().status is _S.PROCESSING
    scenario.clock.wait(timedelta(minutes=15))
    assert (scenario.process().status, scenario.row().code) == (_S.FAILED, "disputed")
    assert scenario.payment.reserved_minor_units == 0
    assert scenario.payment.status is Status.DISPUTED


@pytest.mark.parametrize(
    ("kind", "error"), [("not_sent", NotSent), ("rate_limited", RateLimited), ("unauthorized", Misconfigured)]
)
def test_request_that_refunded_nothing_leaves_it_pending(
    scenario: RefundScenario, kind: str, error: type[PaymentError]
) -> None:
    scenario.request()
    scenario.fail(kind)
    with pytest.raises(error):
        scenario.process()

    assert (scenario.row().status, scenario.payment.reserved_minor_units) == (_S.PENDING, 4000)
    assert scenario.process().status is _S.SUCCEEDED


def test_refusal_after_a_lost_answer_is_no_proof(scenario: RefundScenario) -> None:
    scenario.request()
    scenario.fail("answer_lost", executes=False)
    scenario.fail("not_sent")
    for _ in range(2):
        with pytest.raises(OutcomeUnknown):
            scenario.process()

    assert scenario.row().status is _S.PROCESSING


def test_two_executions_at_the_same_time_send_one_refund(scenario: RefundScenario) -> None:
    scenario.request()
    seen = scenario.row(), scenario.payment
    scenario.process()

    class Behind(MemoryRefundStore):
        def get(self, refund_id: str) -> Refund | None:
            return seen[0] if refund_id == "ref_1" else None

    behind = Behind(scenario.payments)
    behind.rows = scenario.refunds.rows
    with pytest.raises(VersionConflict):
        replace(scenario.refunding, refunds=behind).process("ref_1")
    assert scenario.at_gateway() == 4000


@pytest.mark.fault(82)
def test_refund_by_hand_during_ours_is_never_exceeded(scenario: RefundScenario) -> None:
    scenario.request("ref_1", 6000)
    scenario.gateway.refund(scenario.charge, 5000)
    assert [refund.source for refund in scenario.refunding.look("pay_1")] == ["gateway"]

    failed = scenario.process()

    assert (failed.status, failed.code, failed.attempts) == (_S.FAILED, "more_than_left", 0)
    assert scenario.at_gateway() == scenario.payment.refunded_minor_units == 5000
    assert scenario.payment.reserved_minor_units == 0


@pytest.mark.fault(82)
def test_gateway_that_refuses_too_much_ends_the_only_request(scenario: RefundScenario) -> None:
    scenario.request("ref_1", 6000)
    scenario.gateway.refund(scenario.charge, 5000)  # and no event tells it

    failed = scenario.process()

    assert (failed.status, failed.code) == (_S.FAILED, "more_than_left")
    assert scenario.payment.reserved_minor_units == 0


@pytest.mark.fault(40)
def test_refund_of_a_payment_that_is_disputed_meanwhile_is_not_sent(scenario: RefundScenario) -> None:
    scenario.request()
    scenario.payments.rows["pay_1"] = replace(scenario.payment, status=Status.DISPUTED)

    assert (scenario.process().status, scenario.row().code) == (_S.FAILED, "disputed")
    assert scenario.at_gateway() == 0


def test_closed_environment_sends_nothing(scenario: RefundScenario) -> None:
    scenario.request()
    scenario.is_open = False

    assert scenario.process().status is _S.PENDING
    assert scenario.refunding.look("pay_1") == []
    assert scenario.at_gateway() == 0


@pytest.mark.fault(75)
def test_refund_from_before_a_restore_is_found_and_not_sent_again(scenario: RefundScenario) -> None:
    before = dict(scenario.payments.rows), dict(scenario.refunds.rows)
    scenario.request()
    scenario.process()
    scenario.payments.rows, scenario.refunds.rows = before
    scenario.clock.wait(48 * HOUR)

    scenario.request()
    done = scenario.process()

    assert (done.status, done.attempts) == (_S.SUCCEEDED, 0)
    assert scenario.at_gateway() == 4000


# What happens at the gateway later -----------------------------------------------------------------------------------


def test_pending_refund_is_followed_to_its_end() -> None:
    scenario = RefundScenario("pm_card_pendingRefund")
    scenario.request()
    pending = scenario.process()
    assert (pending.status, scenario.payment.refunded_minor_units) == (_S.PROCESSING, 4000)
    scenario.gateway.end_refund("re_1", _S.SUCCEEDED)

    assert scenario.process().status is _S.SUCCEEDED


@pytest.mark.fault(81)
def test_late_failure_gives_the_amount_back_and_waits_for_an_operator(scenario: RefundScenario) -> None:
    scenario.request(minor_units=None)
    scenario.process()
    assert scenario.payment.status is Status.REFUNDED
    scenario.gateway.end_refund("re_1", _S.FAILED, "lost_or_stolen_card")

    [failed] = scenario.refunding.look("pay_1")

    assert (failed.status, failed.attention, failed.code) == (_S.FAILED, FAILED_LATE, "lost_or_stolen_card")
    assert (scenario.payment.status, books_of(scenario.payment).left) == (Status.SUCCEEDED, 9999)
    assert scenario.refunding.look("pay_1") == []


def test_other_amount_under_our_id_is_noted_once_for_an_operator(scenario: RefundScenario) -> None:
    scenario.request()
    scenario.fail("answer_lost")
    with pytest.raises(OutcomeUnknown):
        scenario.process()
    scenario.refunds.rows["ref_1"] = replace(scenario.row(), money=Money(4100, "USD"))
    scenario.payments.rows["pay_1"] = replace(scenario.payment, reserved_minor_units=4100)

    noted = scenario.process()

    assert (noted.status, noted.attention) == (_S.PROCESSING, AMOUNT_DIFFERS)
    assert scenario.process() == noted
    assert scenario.payment.refunded_minor_units == 4000


def test_refund_that_shows_up_after_its_proof_is_noted_for_an_operator(scenario: RefundScenario) -> None:
    scenario.request()
    scenario.process()
    row = scenario.row()
    scenario.refunds.rows["ref_1"] = replace(row, status=_S.FAILED)

    [noted] = scenario.refunding.look("pay_1")

    assert (noted.status, noted.attention) == (_S.FAILED, CONTRADICTS)
    assert scenario.refunding.look("pay_1") == []


def test_refunds_of_a_restored_table_are_taken_in_under_their_own_ids(scenario: RefundScenario) -> None:
    scenario.request()
    scenario.process()
    scenario.refunds.rows.clear()

    [taken] = scenario.refunding.look("pay_1")

    assert (taken.refund_id, taken.source, taken.status) == ("ref_1", "gateway", _S.SUCCEEDED)


def test_times_of_a_refund_are_those_of_its_requests(scenario: RefundScenario) -> None:
    scenario.request()
    scenario.fail("answer_lost", executes=False)
    with pytest.raises(OutcomeUnknown):
        scenario.process()
    first = scenario.row()
    scenario.clock.wait(HOUR)
    second = scenario.process()

    assert second.attempted_at == first.attempted_at == first.sent_at < second.sent_at < iso(scenario.clock())
    assert second.attempts == 2


def test_refund_that_a_second_person_must_approve_is_not_sent(scenario: RefundScenario) -> None:
    scenario.requests = replace(scenario.requests, needs_approval=lambda *_: True)
    waiting = scenario.request()

    assert (waiting.status, scenario.payment.reserved_minor_units) == (_S.PENDING_APPROVAL, 4000)
    assert scenario.process() == waiting
    approved = refund_moved(waiting, _S.PENDING, at=scenario.clock(), actor="admin:sub_al")
    assert approved.reserved_minor_units == 4000
