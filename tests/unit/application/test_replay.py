"""Replaying dead letters: what is sent again, what is queried first, and what is not replayed."""

from datetime import timedelta
from typing import Any

import pytest

from fakes.customers import MemoryCustomerStore
from fakes.gateway import Fault, FaultKind, MemoryGateway
from fakes.payments import MemoryPaymentStore
from fakes.tokens import MemoryTokenStore
from fakes.workflow import MemoryWorkflow
from payments.application.charge import Charging
from payments.application.record import record
from payments.application.replay import Action, decide, decide_file, reason_class, restart
from payments.application.validate import PaymentMethods
from payments.domain.batch.state import Batch, BatchStatus, Source
from payments.domain.batch.switch import Switch, SwitchState
from payments.domain.batch_breaker import BreakerState, PausedBy
from payments.domain.clock import iso
from payments.domain.outcome import answered
from payments.domain.payment import Payment
from payments.domain.recovery_timeouts import RecoveryTimeouts
from payments.domain.statuses import SETTLED, TRANSITIONS, Status
from payments.ports.payment_store import VersionConflict
from tests.unit.builders import NOON, FixedClock, after, batch_payment

NOT_PAUSED = BreakerState()
PAUSED = BreakerState(PausedBy.OPERATOR, "the bank is down", "2026-11-21T12:00:00.000Z")
WAY_TO: dict[Status, tuple[Status, ...]] = {
    Status.PENDING: (),
    Status.REJECTED: (Status.REJECTED,),
    Status.PARTIALLY_REFUNDED: (Status.PROCESSING, Status.SUCCEEDED, Status.PARTIALLY_REFUNDED),
    Status.REFUNDED: (Status.PROCESSING, Status.SUCCEEDED, Status.REFUNDED),
    Status.DISPUTED: (Status.PROCESSING, Status.SUCCEEDED, Status.DISPUTED),
    Status.DISPUTE_LOST: (Status.PROCESSING, Status.SUCCEEDED, Status.DISPUTED, Status.DISPUTE_LOST),
    Status.PROCESSING: (Status.PROCESSING,),
}


def row(status: Status) -> Payment:
    """A batch payment in a status."""
    return after(batch_payment(), *WAY_TO.get(status, (Status.PROCESSING, status)))


def test_decide_refuses_a_malformed_message_and_lets_it_be_discarded() -> None:
    decision = decide("", None, NOT_PAUSED, started=False)
    assert (decision.action, decision.needed) == (Action.REFUSE, False)
    assert "names no payment" in decision.why


def test_decide_refuses_a_missing_payment_and_lets_it_be_discarded() -> None:
    decision = decide("pay_1", None, NOT_PAUSED, started=False)
    assert (decision.action, decision.needed) == (Action.REFUSE, False)
    assert "not in the payments table" in decision.why


def test_decide_when_the_payment_was_never_started_then_requeues() -> None:
    assert decide("pay_1", row(Status.PENDING), NOT_PAUSED, started=False).action is Action.REQUEUE


@pytest.mark.parametrize(
    ("payment", "started"),
    [(row(Status.PENDING), True), (after(row(Status.PROCESSING), Status.PENDING), False)],
)
def test_decide_restarts_a_pending_payment_whose_execution_is_used_up(payment: Payment, started: bool) -> None:
    assert decide("pay_1", payment, NOT_PAUSED, started=started).action is Action.RESTART


@pytest.mark.parametrize("status", [Status.PROCESSING, Status.UNKNOWN])
@pytest.mark.parametrize("breaker", [NOT_PAUSED, PAUSED])
def test_decide_asks_when_money_may_have_moved_even_while_paused(status: Status, breaker: BreakerState) -> None:
    decision = decide("pay_1", row(status), breaker, started=True)
    assert decision.action is Action.RESTART
    assert "queried before" in decision.why


@pytest.mark.parametrize("started", [True, False])
@pytest.mark.parametrize("state", [SwitchState.PAUSED, SwitchState.CANCELED])
def test_decide_starts_nothing_of_a_batch_that_is_held(state: SwitchState, started: bool) -> None:
    switch = Switch(state, "admin:jo", "2026-11-21T12:00:00.000Z")
    decision = decide("pay_1", row(Status.PENDING), NOT_PAUSED, started=started, switch=switch)
    assert (decision.action, decision.needed) == (Action.REFUSE, False)
    assert f"its batch was {state} at 2026-11-21T12:00:00.000Z by admin:jo" in decision.why
    sent = decide("pay_1", row(Status.PROCESSING), NOT_PAUSED, started=True, switch=switch)
    assert sent.action is Action.RESTART  # it may be charged: the gateway is asked


@pytest.mark.parametrize("started", [True, False])
def test_decide_starts_nothing_pending_while_paused_and_says_why(started: bool) -> None:
    decision = decide("pay_1", row(Status.PENDING), PAUSED, started=started)
    assert (decision.action, decision.needed) == (Action.REFUSE, True)
    assert "paused by the operator" in decision.why
    assert "the bank is down" in decision.why


@pytest.mark.parametrize("status", sorted(SETTLED | {Status.REQUIRES_ACTION, Status.IN_REVIEW}))
def test_decide_refuses_an_unneeded_execution_and_lets_it_be_discarded(status: Status) -> None:
    decision = decide("pay_1", row(status), PAUSED, started=True)
    assert (decision.action, decision.needed) == (Action.REFUSE, False)


@pytest.mark.parametrize("status", sorted(TRANSITIONS))
def test_decide_keeps_only_messages_of_statuses_that_still_need_work(status: Status) -> None:
    needed = {Status.PENDING, Status.PROCESSING, Status.UNKNOWN}
    assert decide("pay_1", row(status), NOT_PAUSED, started=True).needed == (status in needed)


def test_concurrent_restarts_start_one_execution_with_its_own_name() -> None:
    store, workflow = MemoryPaymentStore(), MemoryWorkflow()
    store.create(row(Status.UNKNOWN))
    seen = store.rows["pay_1"]
    assert restart(seen, store=store, workflow=workflow, at=NOON) == "2"
    with pytest.raises(VersionConflict):
        restart(seen, store=store, workflow=workflow, at=NOON)
    assert workflow.started == ["pay_1.2"]
    assert restart(store.rows["pay_1"], store=store, workflow=workflow, at=NOON) == "3"


@pytest.mark.parametrize("status", [Status.SUCCEEDED, Status.IN_REVIEW])
def test_restart_when_the_payment_needs_none_then_refuses(status: Status) -> None:
    store = MemoryPaymentStore()
    store.create(row(status))
    with pytest.raises(ValueError, match="needs no further execution"):
        restart(row(status), store=store, workflow=MemoryWorkflow(), at=NOON)
    assert store.rows["pay_1"].restarts == 0


@pytest.mark.fault(20)
@pytest.mark.parametrize("executes", [True, False])
def test_replay_after_25_hours_asks_the_gateway_and_sends_nothing(executes: bool) -> None:
    clock = FixedClock()
    gateway, store, workflow = MemoryGateway(clock), MemoryPaymentStore(), MemoryWorkflow()
    store.create(batch_payment())
    methods = PaymentMethods(MemoryCustomerStore(), "", MemoryTokenStore(), clock)
    charging = Charging(gateway, methods, store, clock, RecoveryTimeouts())

    def charge() -> Any:
        return answered(lambda: charging.charge(store.rows["pay_1"]))

    gateway.fail(Fault(FaultKind.ANSWER_LOST, executes=executes))
    with pytest.raises(Exception, match="no_answer"):
        charge()  # the function crashes before anything is recorded
    clock.wait(timedelta(hours=25))

    seen = store.rows["pay_1"]
    assert decide("pay_1", seen, NOT_PAUSED, started=True).action is Action.RESTART
    restart(seen, store=store, workflow=workflow, at=clock())
    outcome = charge()
    status = Status.SUCCEEDED if executes else Status.UNKNOWN
    assert record("pay_1", outcome, store=store, clock=clock).status is status
    assert workflow.started == ["pay_1.2"]
    assert len(gateway.captured) == executes


@pytest.mark.parametrize(
    ("reason", "name"),
    [
        ("MalformedMessage: the message's payment_id is not valid", "MalformedMessage"),
        ("NotStored: payment pay_1 is not in the payments table", "NotStored"),
        ("BatchesPaused: the batch breaker has been paused since 2026: gateway_key_refused: no", "BatchesPaused"),
        (
            "ClientError: An error occurred (ThrottlingException) when calling the StartExecution operation: slow down",
            "ThrottlingException",
        ),
        ("", ""),
    ],
)
def test_reason_class_when_dispatch_logged_a_reason_then_names_the_error(reason: str, name: str) -> None:
    assert reason_class(reason) == name


def test_decide_file_gives_an_untouched_file_to_split_again() -> None:
    assert decide_file(None, NOON).action is Action.SPLIT


@pytest.mark.parametrize("status", BatchStatus)
def test_decide_file_needs_no_message_once_split_has_begun(status: BatchStatus) -> None:
    source = Source("files", "incoming/may.csv", "v1", "etag", 9)
    decision = decide_file(Batch(source.batch_id, source, status, iso(NOON), iso(NOON)), NOON)
    assert (decision.action, decision.needed) == (Action.REFUSE, False)
    assert status in decision.why
