"""The payments of a canceled batch: ended once each, in bounded runs, and never one that is being sent."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from fakes.audit import MemoryAuditStore
from fakes.batches import MemoryBatchStore
from fakes.payments import MemoryPaymentStore
from payments.application.audit import audit
from payments.application.batch import cancel_rows
from payments.application.batch.cancel_rows import BatchCanceler
from payments.application.batch.switch_batch import NotSwitched, UnknownBatch, switch_batch
from payments.domain.audit_chain import verify
from payments.domain.batch.state import Batch, BatchStatus, Progress, Source
from payments.domain.batch.switch import SwitchState
from payments.domain.cancellation import CancelCode, canceled
from payments.domain.clock import iso
from payments.domain.payment import Payment
from payments.domain.statuses import Status
from payments.ports.batch_store import Claim, NotClaimed
from tests.unit.builders import NOON, FixedClock, after, batch_payment, payment
from tests.unit.chain_heads import heads_of

SOURCE = Source("bucket", "incoming/b1.csv", "v1", "etag", 10)
NEW = Batch("b1", SOURCE, BatchStatus.SPLITTING, iso(NOON), iso(NOON))


class LateIndex(MemoryPaymentStore):
    """The payments table, whose index by batch returns `listed` if it is set."""

    listed: list[Payment] | None = None

    def of_batch(self, batch_id: str, after: int = 0) -> Iterator[Payment]:
        """The rows after a line, as the index has them."""
        if self.listed is None:
            return super().of_batch(batch_id, after)
        return iter([row for row in self.listed if row.batch_line > after])


class CancelScenario:
    """A batch whose file is read, with payments at lines 2, 3, …"""

    def __init__(self, *rows: Payment, read: bool = True) -> None:
        self.clock = FixedClock()
        self.payments = LateIndex()
        self.log = MemoryAuditStore(self.payments)
        self.batches = MemoryBatchStore(self.payments)
        self.events: list[dict[str, str]] = []
        self.canceler = BatchCanceler(self.payments, self.batches, self.finish, self.events.append, self.clock)
        self.batches.claim_split(NEW, Claim("a", NOON, NOON + timedelta(seconds=60)))
        for row in rows:
            self.payments.rows[row.payment_id] = row
        if read:
            progress = Progress(line=len(rows) + 1, rows_read=len(rows), rows_accepted=len(rows))
            self.batches.finish_split("b1", "a", progress, NOON)

    def finish(self, payment: Payment) -> None:
        """What the audit function does."""
        audit(payment, log=self.log, heads=heads_of(self.log))
        self.batches.close_row(payment)

    def switch(self, state: SwitchState = SwitchState.CANCELED, by: str = "admin:jo") -> Batch:
        """Set the switch."""
        return switch_batch("b1", state, by=by, batches=self.batches, clock=self.clock)

    def cancel(self, owner: str = "run", seconds_left: Callable[[], float] = lambda: 900.0) -> int | None:
        """One run."""
        return self.canceler.cancel("b1", owner=owner, seconds_left=seconds_left)

    @property
    def batch(self) -> Batch:
        """The batch as stored."""
        batch = self.batches.get("b1")
        assert batch
        return batch

    def row(self, payment_id: str) -> Payment:
        """A payment as stored."""
        return self.payments.rows[payment_id]


def rows(number: int) -> list[Payment]:
    """Pending payments of the batch."""
    return [batch_payment(f"p{line}", line) for line in range(2, number + 2)]


def test_cancel_ends_pending_rows_with_event_audit_and_count() -> None:
    scenario = CancelScenario(*rows(3))
    scenario.switch()
    assert scenario.cancel() == 3
    for payment_id in ("p2", "p3", "p4"):
        row = scenario.row(payment_id)
        change = row.history[-1]
        assert (change.status, change.code, change.actor) == (Status.REJECTED, CancelCode.BATCH, "admin:jo")
        assert (row.audited_version, row.batch_row_closed) == (2, True)
        verify(row, scenario.log.entries(payment_id))
    assert sorted(event["event_id"] for event in scenario.events) == ["p2:2", "p3:2", "p4:2"]
    assert {event["code"] for event in scenario.events} == {CancelCode.BATCH}
    assert scenario.batch.ready_to_report


def test_cancel_touches_only_pending_rows_of_this_batch() -> None:
    sent = after(batch_payment("p2"), Status.PROCESSING)
    paid = after(batch_payment("p3", 3), Status.PROCESSING, Status.SUCCEEDED)
    others = [batch_payment("q2", batch_id="b2"), payment("rest_1")]
    scenario = CancelScenario(sent, paid, batch_payment("p4", 4), *others)
    scenario.switch()
    assert scenario.cancel() == 1
    assert [scenario.row(row.payment_id) for row in (sent, paid, *others)] == [sent, paid, *others]


def test_cancel_of_a_row_that_came_back_to_pending_ends_it() -> None:
    scenario = CancelScenario(after(batch_payment("p2"), Status.PROCESSING, Status.PENDING))
    scenario.switch()
    assert scenario.cancel() == 1


@pytest.mark.fault(87)
def test_cancel_when_a_charge_wrote_its_intent_first_then_it_is_left_alone() -> None:
    scenario = CancelScenario(*rows(1))
    scenario.switch()
    scenario.payments.listed = rows(1)
    scenario.payments.rows["p2"] = after(batch_payment("p2"), Status.PROCESSING)
    assert scenario.cancel() == 0
    assert scenario.row("p2").status is Status.PROCESSING


@pytest.mark.parametrize("state", [SwitchState.RUNNING, SwitchState.PAUSED])
def test_cancel_of_a_batch_that_is_not_canceled_does_nothing(state: SwitchState) -> None:
    scenario = CancelScenario(*rows(1))
    scenario.switch(state)
    assert scenario.cancel() is None
    assert scenario.row("p2").status is Status.PENDING


def test_cancel_when_another_run_has_it_then_none() -> None:
    scenario = CancelScenario(*rows(1))
    scenario.switch()
    scenario.batches.claim_cancel("b1", Claim("other", NOON, NOON + timedelta(hours=1)))
    assert scenario.cancel() is None
    assert scenario.cancel("other") == 1  # Lambda repeats a failed run under the same id


@pytest.mark.fault(88)
def test_cancel_short_of_time_continues_after_its_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cancel_rows, "ROWS_A_WINDOW", 2)
    scenario = CancelScenario(*rows(5))
    scenario.switch()
    assert scenario.cancel(seconds_left=lambda: 10.0) == 2
    assert (scenario.batch.cancel_pass.line, scenario.batch.cancel_pass.until) == (3, "")
    assert scenario.batch.cancel_pass.is_due(iso(scenario.clock()), timedelta(minutes=10))
    assert scenario.cancel("next") == 3
    assert scenario.batch.cancel_pass.line == 0
    assert not scenario.batch.cancel_pass.is_due(iso(scenario.clock()), timedelta(minutes=10))
    assert scenario.batch.cancel_pass.is_due(iso(scenario.clock() + timedelta(minutes=10)), timedelta(minutes=10))


def test_cancel_while_the_file_is_read_is_not_complete() -> None:
    scenario = CancelScenario(*rows(2), read=False)
    scenario.switch()
    assert scenario.cancel() == 2
    assert scenario.batch.cancel_pass.is_due(iso(scenario.clock()), timedelta(minutes=10))


@pytest.mark.fault(88)
@pytest.mark.parametrize("stops_at", ["publish", "finish"])
def test_cancel_stopped_between_two_writes_is_completed_by_the_next_run(stops_at: str) -> None:
    scenario = CancelScenario(*rows(1))
    scenario.switch()

    def stops(*_: Any, **__: Any) -> None:
        raise ConnectionError

    broken = replace(scenario.canceler, **{stops_at: stops})  # type: ignore[arg-type]  # either takes any call
    with pytest.raises(ConnectionError):
        broken.cancel("b1", owner="run", seconds_left=lambda: 900.0)
    assert scenario.row("p2").status is Status.REJECTED
    assert scenario.cancel() == 0  # the first run ended it
    assert (scenario.row("p2").batch_row_closed, scenario.batch.rows_closed) == (True, 1)
    assert {event["event_id"] for event in scenario.events} == {"p2:2"}


def test_cancel_when_the_index_is_behind_then_each_row_counts_once() -> None:
    scenario = CancelScenario(*rows(2))
    scenario.switch()
    scenario.payments.listed = rows(2)
    assert scenario.cancel() == 2
    assert scenario.cancel() == 0
    assert (scenario.batch.rows_closed, len(scenario.events)) == (2, 2)


def test_cancel_completes_a_payment_that_was_canceled_alone() -> None:
    scenario = CancelScenario(canceled(batch_payment("p2"), CancelCode.PAYMENT, by="admin", at=NOON))
    scenario.switch()
    assert scenario.cancel() == 0
    assert (scenario.row("p2").code, scenario.row("p2").batch_row_closed) == (CancelCode.PAYMENT, True)


# The switch -----------------------------------------------------------------------------------------------------------


def test_switch_when_set_twice_then_the_first_operator_stays_on_record() -> None:
    scenario = CancelScenario(*rows(1))
    first = scenario.switch(SwitchState.PAUSED, by="admin:jo")
    assert scenario.switch(SwitchState.PAUSED, by="admin:max").switch == first.switch
    assert (first.switch.by, first.switch.at, first.due_at) == ("admin:jo", first.switch.at, first.switch.at)


@pytest.mark.parametrize("state", [SwitchState.RUNNING, SwitchState.PAUSED])
def test_switch_of_a_canceled_batch_is_refused(state: SwitchState) -> None:
    scenario = CancelScenario(*rows(1))
    scenario.switch()
    with pytest.raises(NotSwitched, match="is canceled"):
        scenario.switch(state)


def test_switch_of_a_batch_with_a_report_is_refused() -> None:
    scenario = CancelScenario()
    scenario.batches.claim_report("b1", Claim("r", NOON, NOON + timedelta(seconds=60)))
    with pytest.raises(NotSwitched, match="is reporting"):
        scenario.switch()


def test_switch_of_an_unknown_batch_says_so() -> None:
    with pytest.raises(UnknownBatch):
        switch_batch("b2", SwitchState.PAUSED, by="admin", batches=CancelScenario().batches, clock=FixedClock())


def test_switch_that_loses_a_race_reads_again() -> None:
    scenario = CancelScenario(*rows(1))
    set_switch, lost = scenario.batches.set_switch, iter([True, False])

    def contested(batch: Batch, switch: Any) -> None:
        if next(lost):
            raise NotClaimed
        set_switch(batch, switch)

    scenario.batches.set_switch = contested  # type: ignore[method-assign]
    assert scenario.switch().switch.is_canceled
