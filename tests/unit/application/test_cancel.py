"""Cancel a payment: the conditional write that decides between a charge and a cancellation, in every order."""

from typing import Any

import pytest

from fakes.payments import MemoryPaymentStore
from fakes.workflow import MemoryWorkflow
from payments.application.cancel import NotPending, cancel
from payments.domain.cancellation import CancelCode, canceled, is_canceled
from payments.domain.payment import IllegalMove, Payment
from payments.domain.statuses import TRANSITIONS, Status
from payments.ports.payment_store import VersionConflict
from tests.unit.builders import NOON, FixedClock, after, payment

PATHS: dict[Status, tuple[Status, ...]] = {
    Status.PROCESSING: (Status.PROCESSING,),
    Status.REQUIRES_ACTION: (Status.PROCESSING, Status.REQUIRES_ACTION),
    Status.IN_REVIEW: (Status.IN_REVIEW,),
    Status.SUCCEEDED: (Status.PROCESSING, Status.SUCCEEDED),
    Status.DECLINED: (Status.PROCESSING, Status.DECLINED),
    Status.REJECTED: (Status.REJECTED,),
    Status.UNKNOWN: (Status.PROCESSING, Status.UNKNOWN),
    Status.FAILED: (Status.FAILED,),
    Status.REFUNDED: (Status.PROCESSING, Status.SUCCEEDED, Status.REFUNDED),
}
"""How a payment gets into a status that cannot be canceled."""


class CancelScenario:
    """A stored payment and an empty workflow."""

    def __init__(self, row: Payment) -> None:
        self.store: Any = MemoryPaymentStore()
        self.workflow = MemoryWorkflow()
        self.clock = FixedClock()
        self.store.rows[row.payment_id] = row

    def cancel(self) -> Any:
        """Cancel pay_1."""
        return cancel("pay_1", by="admin:sub", store=self.store, workflow=self.workflow, clock=self.clock)

    @property
    def row(self) -> Payment:
        """The stored payment."""
        row: Payment = self.store.rows["pay_1"]
        return row


def test_cancel_when_pending_then_rejected_with_the_actor_and_started_once() -> None:
    scenario = CancelScenario(payment())
    done = scenario.cancel()
    assert (done.payment, done.repeated) == (scenario.row, False)
    change = scenario.row.history[-1]
    assert (change.status, change.code, change.actor) == (Status.REJECTED, CancelCode.PAYMENT, "admin:sub")
    assert is_canceled(scenario.row)
    assert scenario.workflow.started == ["pay_1.c2"]


def test_cancel_when_an_attempt_charged_nothing_then_canceled() -> None:
    scenario = CancelScenario(after(payment(), Status.PROCESSING, Status.PENDING, code="connection_failed"))
    assert scenario.cancel().payment.version == 4


def test_cancel_when_repeated_then_the_same_row_and_one_execution() -> None:
    scenario = CancelScenario(payment())
    first, again = scenario.cancel(), scenario.cancel()
    assert (again.payment, again.repeated) == (first.payment, True)
    assert scenario.workflow.started == ["pay_1.c2"]


def test_cancel_when_its_batch_was_canceled_then_it_counts_as_repeated() -> None:
    scenario = CancelScenario(canceled(payment(), CancelCode.BATCH, by="admin:sub", at=NOON))
    assert scenario.cancel().repeated


@pytest.mark.parametrize("status", PATHS)
def test_cancel_when_not_pending_then_nothing_is_written_or_started(status: Status) -> None:
    row = after(payment(), *PATHS[status])
    scenario = CancelScenario(row)
    with pytest.raises(NotPending) as refused:
        scenario.cancel()
    assert (refused.value.payment, scenario.row, scenario.workflow.started) == (row, row, [])


@pytest.mark.fault(87)
def test_cancel_when_a_charge_wrote_its_intent_first_then_not_pending() -> None:
    scenario = CancelScenario(payment())
    save = scenario.store.save

    def late(ended: Payment) -> None:
        scenario.store.rows["pay_1"] = after(payment(), Status.PROCESSING)
        save(ended)

    scenario.store.save = late
    with pytest.raises(NotPending):
        scenario.cancel()
    assert scenario.row.status is Status.PROCESSING


def test_cancel_when_the_row_never_rests_then_it_gives_up() -> None:
    scenario = CancelScenario(payment())

    def never(_: Payment) -> None:
        raise VersionConflict

    scenario.store.save = never
    with pytest.raises(VersionConflict):
        scenario.cancel()


def test_cancel_when_the_start_failed_then_a_repetition_starts_it() -> None:
    scenario = CancelScenario(payment())
    restart = scenario.workflow.restart

    def fails(*_: Any, **__: Any) -> None:
        raise ConnectionError

    scenario.workflow.restart = fails  # type: ignore[method-assign]
    with pytest.raises(ConnectionError):
        scenario.cancel()
    scenario.workflow.restart = restart  # type: ignore[method-assign]
    assert scenario.cancel().repeated
    assert scenario.workflow.started == ["pay_1.c2"]


def test_canceled_from_a_status_that_cannot_be_rejected_is_illegal() -> None:
    assert Status.REJECTED in TRANSITIONS[Status.PENDING]
    with pytest.raises(IllegalMove):
        canceled(after(payment(), Status.PROCESSING), CancelCode.PAYMENT, by="admin", at=NOON)
