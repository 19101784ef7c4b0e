"""A second person approves or rejects a refund, once."""

from dataclasses import replace
from typing import Any

import pytest

from payments.application.decide_refund import Decided, Decision, NotAnotherPerson, NotDecided, decide
from payments.application.recover_refunds import RefundRecovery
from payments.domain.due import Kind
from payments.domain.money import Money
from payments.domain.recovery_timeouts import RecoveryTimeouts
from payments.domain.refund import Refund, RefundRequest
from payments.domain.refund_approval import APPROVAL_WAIT, ApprovalLimits
from payments.domain.refund_statuses import RefundStatus
from payments.domain.refundable import NotRefundable
from payments.ports.payment_store import VersionConflict
from payments.ports.refund_store import RefundNotStored
from tests.unit.application.test_refund import RefundScenario

_S = RefundStatus


class ApprovalScenario(RefundScenario):
    """A payment of 99.99 USD, of which 50 may be refunded without an approval."""

    def __init__(self) -> None:
        super().__init__()
        self.requests = replace(self.requests, needs_approval=ApprovalLimits.parse("USD=50").needs_approval)

    def ask(self, minor_units: int | None = 6000, refund_id: str = "ref_1", subject: str = "sub_jo") -> Refund:
        asked = RefundRequest(refund_id, "pay_1", Money(minor_units, "USD") if minor_units else None)
        by = f"admin:{subject}"
        return self.requests.request(asked, by=by, at=self.clock(), requested_by=subject).refund

    def decide(self, decision: Decision, subject: str = "sub_al", refund_id: str = "ref_1", **more: Any) -> Decided:
        ports: dict[str, Any] = {"payments": self.payments, "refunds": self.refunds, "workflow": self.workflow}
        return decide(refund_id, decision, subject=subject, by=f"admin:{subject}", at=self.clock(), **ports | more)


@pytest.fixture
def scenario() -> ApprovalScenario:
    return ApprovalScenario()


def test_refund_above_the_limit_is_reserved_announced_and_not_sent(scenario: ApprovalScenario) -> None:
    waiting = scenario.ask()

    assert (waiting.status, waiting.requested_by) == (_S.PENDING_APPROVAL, "sub_jo")
    assert scenario.payment.reserved_minor_units == 6000
    assert list(scenario.workflow.started) == ["ref_1"]  # for the audit log and the event
    assert scenario.process() == waiting
    assert scenario.at_gateway() == 0


def test_second_refund_needs_an_approval_if_both_exceed_the_limit(scenario: ApprovalScenario) -> None:
    assert scenario.ask(3000, "ref_1").status is _S.PENDING
    assert scenario.ask(2001, "ref_2").status is _S.PENDING_APPROVAL
    scenario.process("ref_1")
    assert scenario.ask(2001, "ref_3").status is _S.PENDING_APPROVAL


def test_approved_refund_is_started_and_sent_once(scenario: ApprovalScenario) -> None:
    scenario.ask()

    first, again = scenario.decide(Decision.APPROVED), scenario.decide(Decision.APPROVED)

    assert (first.replayed, again.replayed, again.refund) == (False, True, first.refund)
    assert (first.refund.status, first.refund.approved_by) == (_S.PENDING, "sub_al")
    assert list(scenario.workflow.started) == ["ref_1", "ref_1.v2"]
    assert scenario.payment.reserved_minor_units == 6000
    assert scenario.process().status is _S.SUCCEEDED
    assert scenario.at_gateway() == 6000
    assert scenario.decide(Decision.APPROVED).replayed  # also when it was sent


def test_rejected_refund_releases_its_amount_and_ends(scenario: ApprovalScenario) -> None:
    scenario.ask()

    rejected = scenario.decide(Decision.REJECTED).refund

    assert (rejected.status, rejected.code) == (_S.REJECTED, "rejected")
    assert scenario.payment.reserved_minor_units == 0
    assert list(scenario.workflow.started) == ["ref_1", "ref_1.v2"]  # for the audit log and the event
    assert scenario.process() == rejected
    assert scenario.at_gateway() == 0
    assert scenario.ask(5000, "ref_2").status is _S.PENDING


def test_decision_is_in_the_history_of_refund_and_payment(scenario: ApprovalScenario) -> None:
    scenario.ask()
    scenario.decide(Decision.APPROVED)

    *_, requested, decided = scenario.payment.history
    assert (requested.actor, requested.code) == ("admin:sub_jo", "refund_pending_approval")
    assert (decided.actor, decided.code) == ("admin:sub_al", "refund_pending")
    assert decided.message == "ref_1: 60.00 USD, approved"
    assert [change.actor for change in scenario.row().history] == ["admin:sub_jo", "admin:sub_al"]


@pytest.mark.fault(84)
@pytest.mark.parametrize("decision", Decision)
@pytest.mark.parametrize("subject", ["sub_jo", ""])
def test_requester_can_neither_approve_nor_reject(scenario: ApprovalScenario, decision: Decision, subject: str) -> None:
    waiting = scenario.ask()

    with pytest.raises(NotAnotherPerson, match="another admin"):
        scenario.decide(decision, subject)
    assert scenario.row() == waiting


def test_refund_without_a_requester_cannot_be_requested_or_approved(scenario: ApprovalScenario) -> None:
    with pytest.raises(NotRefundable, match="must be requested with a token"):
        scenario.ask(subject="")
    assert (scenario.refunds.rows, scenario.payment.reserved_minor_units) == ({}, 0)
    scenario.refunds.rows["ref_1"] = replace(scenario.ask(), requested_by="")
    with pytest.raises(NotAnotherPerson, match="not known who requested"):
        scenario.decide(Decision.APPROVED)
    assert scenario.decide(Decision.REJECTED).refund.status is _S.REJECTED


def test_decided_refund_is_not_decided_again(scenario: ApprovalScenario) -> None:
    scenario.ask()
    scenario.decide(Decision.REJECTED)
    scenario.ask(1000, "ref_2")

    for decision, subject in ((Decision.APPROVED, "sub_al"), (Decision.REJECTED, "sub_bo"), (Decision.APPROVED, "")):
        with pytest.raises(NotDecided, match="was rejected already, and is rejected"):
            scenario.decide(decision, subject)
    with pytest.raises(NotDecided, match="ref_2 is pending, and needs no approval"):
        scenario.decide(Decision.APPROVED, refund_id="ref_2")
    with pytest.raises(RefundNotStored):
        scenario.decide(Decision.APPROVED, refund_id="ref_9")


class Raced:
    """The payments table, where another admin decides between a decision's read and its write."""

    def __init__(self, scenario: ApprovalScenario, decisions: list[Decision]) -> None:
        self._scenario, self._decisions = scenario, decisions

    def get(self, payment_id: str) -> Any:
        found = self._scenario.payments.get(payment_id)
        if self._decisions:
            self._scenario.decide(self._decisions.pop(), "sub_bo")
        return found


@pytest.mark.fault(84)
@pytest.mark.parametrize("late", Decision)
@pytest.mark.parametrize("early", Decision)
def test_of_two_decisions_at_the_same_time_one_holds(
    scenario: ApprovalScenario, early: Decision, late: Decision
) -> None:
    scenario.ask()

    with pytest.raises(NotDecided, match=f"was {early} already"):
        scenario.decide(late, "sub_al", payments=Raced(scenario, [early]))

    assert (scenario.row().approved_by, len(scenario.row().history)) == ("sub_bo", 2)
    sent = scenario.process()
    assert (sent.status is _S.SUCCEEDED) == (early is Decision.APPROVED)
    assert scenario.at_gateway() == (6000 if early is Decision.APPROVED else 0)
    assert scenario.payment.reserved_minor_units == 0


def test_decision_is_repeated_when_only_the_payment_changed(scenario: ApprovalScenario) -> None:
    scenario.ask()
    scenario.ask(1000, "ref_2")

    class Changed(Raced):
        changes = 0

        def get(self, payment_id: str) -> Any:
            found = scenario.payments.get(payment_id)
            self.changes += 1
            if self.changes <= most:
                scenario.ask(1, f"ref_x{most}{self.changes}")
            return found

    most = 2
    assert scenario.decide(Decision.APPROVED, payments=Changed(scenario, [])).refund.status is _S.PENDING
    most = 99
    with pytest.raises(VersionConflict):
        scenario.decide(Decision.APPROVED, refund_id="ref_2", payments=Changed(scenario, []))


def test_start_that_failed_is_repeated_with_the_decision(scenario: ApprovalScenario) -> None:
    scenario.ask()
    started = dict(scenario.workflow.started)
    scenario.decide(Decision.APPROVED)
    scenario.workflow.started = started

    assert scenario.decide(Decision.APPROVED).replayed
    assert list(started) == ["ref_1", "ref_1.v2"]


def test_payment_that_is_disputed_meanwhile_is_not_refunded_after_approval(scenario: ApprovalScenario) -> None:
    scenario.ask()
    scenario.payments.rows["pay_1"] = replace(scenario.payment, disputed_minor_units=9999)
    scenario.decide(Decision.APPROVED)

    assert (scenario.process().status, scenario.at_gateway()) == (_S.FAILED, 0)
    assert scenario.payment.reserved_minor_units == 0


def test_refund_that_waits_too_long_for_approval_is_on_the_operators_list(scenario: ApprovalScenario) -> None:
    recovery = RefundRecovery(scenario.refunds, scenario.workflow, scenario.clock, RecoveryTimeouts())
    scenario.ask()
    started = dict(scenario.workflow.started)
    recovery.recover("ref_1")
    assert recovery.needing_attention(scenario.clock()) == 0

    scenario.clock.wait(APPROVAL_WAIT)
    assert [row_id for row_id, _ in scenario.refunds.due(Kind.REFUND_APPROVAL, scenario.clock())] == ["ref_1"]
    assert not recovery.recover("ref_1")

    assert (recovery.needing_attention(scenario.clock()), scenario.workflow.started) == (1, started)
    assert list(scenario.refunds.due(Kind.REFUND_APPROVAL, scenario.clock())) == []
    scenario.decide(Decision.REJECTED)
    assert recovery.needing_attention(scenario.clock()) == 0
