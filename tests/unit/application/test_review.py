"""Decisions on payments that a fraud rule holds: only held ones, only once, and no payment is lost or charged twice."""

from collections import Counter
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from fakes.payments import MemoryPaymentStore
from payments.application.cancel import cancel
from payments.application.review import NotHeld, decide, execution_suffix_of
from payments.application.velocity import CARD_TESTING
from payments.domain.audit_chain import verify
from payments.domain.fraud_hold import Verdict, decision_on, is_held
from payments.domain.payment import Payment
from payments.domain.recovery_timeouts import RecoveryTimeouts
from payments.domain.statuses import Status
from payments.ports.payment_store import VersionConflict
from tests.unit.application.test_recover import UNIT, RecoveryScenario
from tests.unit.builders import NOON, after, payment

NEW = replace(payment(), hold=CARD_TESTING)
HELD = after(NEW, Status.IN_REVIEW, code=CARD_TESTING, message="a fraud rule holds it; an operator decides")
CONFLICT: dict[str, Any] = {"code": "amount_differs", "message": "compare both"}
NOT_HELD = {
    "pending yet": NEW,
    "other money": after(payment(), Status.PROCESSING, Status.IN_REVIEW, **CONFLICT),
    "approved before, then other money": after(HELD, Status.PENDING, Status.PROCESSING, Status.IN_REVIEW, **CONFLICT),
    "sent meanwhile": replace(HELD, attempts=1),
    "approved": after(HELD, Status.PENDING),
    "rejected": after(HELD, Status.REJECTED),
}


def decided(row: Payment, verdict: Verdict, store: MemoryPaymentStore, by: str = "operator:jo") -> Payment:
    return decide(row, verdict, by=by, message="known to us", store=store, at=NOON + timedelta(hours=1))


def storing(*rows: Payment) -> MemoryPaymentStore:
    store = MemoryPaymentStore()
    for row in rows:
        store.rows[row.payment_id] = row
    return store


@pytest.mark.parametrize(
    ("verdict", "status"), [(Verdict.APPROVED, Status.PENDING), (Verdict.REJECTED, Status.REJECTED)]
)
def test_decide_on_a_held_payment_records_who_decided_and_why(verdict: Verdict, status: Status) -> None:
    store = storing(HELD)
    row = decided(HELD, verdict, store)
    assert store.rows["pay_1"] == row
    assert (row.status, row.version) == (status, 3)
    change = decision_on(row)
    assert change
    assert (change.actor, change.code, change.message) == ("operator:jo", verdict, "known to us")
    assert execution_suffix_of(change) == "r3"


@pytest.mark.parametrize("verdict", Verdict)
@pytest.mark.parametrize("row", NOT_HELD.values(), ids=list(NOT_HELD))
def test_decide_refuses_and_writes_nothing_when_no_fraud_rule_holds_it(row: Payment, verdict: Verdict) -> None:
    assert not is_held(row)
    store = storing(row)
    with pytest.raises(NotHeld):
        decided(row, verdict, store)
    assert store.rows["pay_1"] is row


@pytest.mark.parametrize("second", Verdict)
@pytest.mark.parametrize("first", Verdict)
def test_decide_when_two_decide_on_the_same_row_then_one_of_them_does(first: Verdict, second: Verdict) -> None:
    store = storing(HELD)
    row = decided(HELD, first, store)
    with pytest.raises(VersionConflict):
        decided(HELD, second, store, by="operator:max")
    assert store.rows["pay_1"] == row


def test_decision_on_an_undecided_payment_is_none() -> None:
    assert decision_on(HELD) is None


def audited(scenario: RecoveryScenario) -> Payment:
    """The row, whose audit log is complete and verifies."""
    row = scenario.payments.rows["pay_1"]
    verify(row, scenario.log.entries("pay_1"))
    assert row.audited_version == row.version
    return row


@pytest.mark.fault(43)
@pytest.mark.parametrize(
    ("verdict", "after_units", "ends", "charges"),
    [(Verdict.APPROVED, 1, Status.SUCCEEDED, 1), (Verdict.REJECTED, 2, Status.REJECTED, 0)],
)
def test_decision_that_was_never_started_is_carried_out_by_recovery(
    verdict: Verdict, after_units: int, ends: Status, charges: int
) -> None:
    scenario = RecoveryScenario(HELD)
    scenario.run()  # the execution that held it: the audit log covers that version
    decide(HELD, verdict, by="operator:jo", message="known to us", store=scenario.payments, at=scenario.clock())
    assert scenario.recover(after_units=after_units - 0.1)["taken_up"] == 0
    assert scenario.recover(after_units=0.2)["taken_up"] == 1
    assert scenario.workflow.started == ["pay_1.2"]
    scenario.run()
    assert audited(scenario).status is ends
    assert [entry.actor for entry in scenario.log.entries("pay_1")][2] == "operator:jo"
    scenario.run()  # the operator's own execution runs late
    assert audited(scenario).status is ends
    assert len(scenario.gateway.captured) == charges
    assert scenario.recover(after_units=12)["taken_up"] == 0


def test_recovery_leaves_an_undecided_payment_to_an_operator() -> None:
    scenario = RecoveryScenario(HELD)
    scenario.run()
    found: Any = scenario.recover(after_units=12)
    assert (found["in_review"], found["taken_up"]) == (1, 0)
    assert scenario.workflow.started == []


HOLD = RecoveryTimeouts().fraud_hold


@pytest.mark.fault(43)
@pytest.mark.parametrize(
    ("verdict", "ends", "charges"),
    [(Verdict.EXPIRED, Status.REJECTED, 0), (Verdict.RELEASED, Status.SUCCEEDED, 1)],
)
def test_hold_without_a_decision_ends_by_the_setting(verdict: Verdict, ends: Status, charges: int) -> None:
    scenario = RecoveryScenario(HELD)
    scenario.recovery = replace(scenario.recovery, at_end_of_hold=verdict)
    scenario.run()
    units = HOLD / UNIT
    assert scenario.recover(after_units=units - 1) == Counter(in_review=1)
    found = scenario.recover(after_units=2)
    assert (found["holds_ended"], found["taken_up"]) == (1, 0)
    assert scenario.workflow.started == ["pay_1.r3"]
    scenario.run()
    row = audited(scenario)
    assert (row.status, len(scenario.gateway.captured)) == (ends, charges)
    assert [entry.actor for entry in scenario.log.entries("pay_1")][2] == "recovery"
    assert scenario.recover(after_units=12) == Counter()


@pytest.mark.fault(43)
def test_hold_that_an_operator_decides_on_at_its_end_is_decided_once() -> None:
    scenario = RecoveryScenario(HELD)
    scenario.run()
    held = scenario.payments.rows["pay_1"]
    scenario.recover(after_units=HOLD / UNIT + 1)
    with pytest.raises(VersionConflict):
        decide(held, Verdict.APPROVED, by="operator:jo", message="", store=scenario.payments, at=scenario.clock())
    assert scenario.payments.rows["pay_1"].code == Verdict.EXPIRED


def test_hold_for_another_reason_never_ends() -> None:
    contradicted = after(payment(), Status.PROCESSING, Status.IN_REVIEW, **CONFLICT)
    scenario = RecoveryScenario(replace(contradicted, audited_version=contradicted.version))
    found = scenario.recover(after_units=2 * HOLD / UNIT)
    assert found == Counter(in_review=1)


def test_cancel_ends_a_hold_as_it_ends_a_pending_payment() -> None:
    scenario = RecoveryScenario(HELD)
    scenario.run()
    store: Any = scenario.payments
    canceled, _ = cancel("pay_1", by="customer:jo", store=store, workflow=scenario.workflow, clock=scenario.clock)
    assert (canceled.status, canceled.code) == (Status.REJECTED, "canceled")
