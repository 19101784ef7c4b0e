"""Recovery: each kind of stopped work is found when it is due, and restarted once."""

from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import pairwise
from unittest.mock import Mock

import pytest

from fakes.audit import MemoryAuditStore
from fakes.batch_breaker import MemoryBreakerStore
from fakes.batches import MemoryBatchStore
from fakes.customers import MemoryCustomerStore
from fakes.events import MemoryEventStore
from fakes.field_encryptor import MemoryFieldEncryptor
from fakes.gateway import Fault, FaultKind, MemoryGateway
from fakes.lease import MemoryLease
from fakes.payment_queue import MemoryPaymentQueue
from fakes.payments import MemoryPaymentStore
from fakes.queue_delivery import MemoryDelivery
from fakes.tokens import MemoryTokenStore
from fakes.workflow import MemoryWorkflow
from payments.application.audit import audit
from payments.application.batch.close_rows import BatchRows
from payments.application.batch.switch_batch import switch_batch
from payments.application.charge import Charging
from payments.application.record import record
from payments.application.recover import RESERVE_SECONDS, PaymentRecovery
from payments.application.sealed_payments import opened
from payments.application.validate import PaymentMethods
from payments.application.webhooks import Webhooks
from payments.domain.batch.state import Batch, BatchStatus, Look, Progress, Source
from payments.domain.batch.switch import CancelPass, SwitchState
from payments.domain.batch_breaker import BreakerState, PausedBy
from payments.domain.clock import iso, parse_iso
from payments.domain.due import Kind
from payments.domain.errors import GATEWAY_UNREACHABLE, OutcomeUnknown, PaymentError
from payments.domain.gateway_event import EventState, GatewayEvent
from payments.domain.money import Money
from payments.domain.outcome import answered
from payments.domain.payment import SENDER, Change, Payment
from payments.domain.recovery_timeouts import RecoveryTimeouts
from payments.domain.statuses import Status
from payments.ports.batch_store import Claim
from payments.ports.payment_gateway import ChargeRequest
from payments.ports.payment_queue import QueuedPayment
from tests.unit.builders import NOON, FixedClock, after, batch_payment, gateway_event, payment
from tests.unit.chain_heads import heads_of
from tests.unit.charge_lists import charge_list

UNIT = RecoveryTimeouts().unit
SOURCE = Source("bucket", "incoming/payroll.csv", "v1", "etag", 1234)
BATCH = Batch("b1", SOURCE, BatchStatus.SPLITTING, iso(NOON), iso(NOON))


class OtherRun:
    """Runs `meanwhile` once, right before a claim: where two runs meet."""

    def __init__(self) -> None:
        self.meanwhile: Callable[[], object] | None = None

    def happen(self) -> None:
        meanwhile, self.meanwhile = self.meanwhile, None
        if meanwhile:
            meanwhile()


class ContestedPayments(MemoryPaymentStore):
    """Payments that another recovery run may claim first."""

    def __init__(self, other_run: OtherRun) -> None:
        super().__init__()
        self._other_run = other_run

    def claim_restart(self, payment: Payment, at: datetime) -> Payment:
        """Let the other run claim first, once it is planned."""
        self._other_run.happen()
        return super().claim_restart(payment, at)


class ContestedBatches(MemoryBatchStore):
    """Batches that another recovery run may repair first."""

    def __init__(self, payments: MemoryPaymentStore, other_run: OtherRun) -> None:
        super().__init__(payments)
        self._other_run = other_run

    def look(self, batch: Batch, look: Look, due: datetime) -> Batch:
        """Let the other run look first, once it is planned."""
        self._other_run.happen()
        return super().look(batch, look, due)


class AlwaysGranted(MemoryLease):
    """A lease that every run gets: it guards nothing."""

    def take(self, owner: str, at: datetime, until: datetime) -> bool:
        """Grant the lease."""
        return True


class CountingQueue(MemoryPaymentQueue):
    """Remembers how many messages each request had."""

    def __init__(self) -> None:
        super().__init__()
        self.requests: list[int] = []

    def send(self, payments: Sequence[QueuedPayment]) -> None:
        """Count the messages of this request."""
        self.requests.append(len(payments))
        super().send(payments)


class RecoveryScenario:
    """Everything that a recovery run reads."""

    def __init__(self, *rows: Payment) -> None:
        self.clock = FixedClock()
        self.other_run = OtherRun()
        self.gateway = MemoryGateway(self.clock)
        self.encryptor = MemoryFieldEncryptor()
        self.payments = ContestedPayments(self.other_run)
        self.log = MemoryAuditStore(self.payments)
        self.batches = ContestedBatches(self.payments, self.other_run)
        self.events = MemoryEventStore()
        self.queue = CountingQueue()
        self.workflow = MemoryWorkflow()
        self.breaker = MemoryBreakerStore()
        self.delivery = MemoryDelivery()
        self.encryptor = MemoryFieldEncryptor()
        self.resumed: list[Source] = []
        self.reported: list[str] = []
        self.recovery = PaymentRecovery(
            self.payments,
            self.batches,
            self.events,
            self.queue,
            self.workflow,
            Webhooks(self.events, self.payments, self.workflow, self.clock, self.encryptor),
            self.gateway,
            charge_list(self.gateway, self.payments, self.encryptor, self.clock),
            self.breaker,
            self.delivery,
            BatchRows(self.batches, self.reported.append),
            AlwaysGranted(),
            self.resumed.append,
            self.reported.append,
            self.clock,
            lambda seconds: self.clock.wait(timedelta(seconds=seconds)),
        )
        for row in rows:
            self.payments.rows[row.payment_id] = row

    def recover(self, *, after_units: float = 0, seconds_left: Callable[[], float] = lambda: 60) -> Counter[str]:
        """Run recovery after this time. Returns the findings."""
        self.clock.wait(after_units * UNIT)
        return +self.recovery.recover(seconds_left)

    def run(self, payment_id: str = "pay_1") -> Payment:
        """Run an execution of the workflow. Returns the row, audited."""
        methods = PaymentMethods(MemoryCustomerStore(), "", MemoryTokenStore(), self.clock)
        charging = Charging(self.gateway, methods, self.payments, self.clock)
        outcome = answered(lambda: charging.charge(opened(self.payments.rows[payment_id], self.encryptor)))
        assert outcome
        audit(
            record(payment_id, outcome, store=self.payments, clock=self.clock), log=self.log, heads=heads_of(self.log)
        )
        return self.payments.rows[payment_id]

    def split(self, *rows: Payment) -> None:
        """A batch of these payments, read to its end."""
        claim = Claim("a", NOON, NOON + timedelta(seconds=60))
        self.batches.claim_split(BATCH, claim)
        progress = Progress(line=len(rows) + 1, rows_read=len(rows), rows_accepted=len(rows))
        for row in rows:
            self.payments.rows[row.payment_id] = row
        self.batches.finish_split("b1", "a", progress, NOON)

    @property
    def batch(self) -> Batch:
        batch = self.batches.get("b1")
        assert batch
        return batch


# Payments ------------------------------------------------------------------------------------------

LEFTOVERS = {
    "accepted and never started": (payment(), 1, "pay_1"),
    "back to pending and never retried": (after(payment(), Status.PROCESSING, Status.PENDING), 1, "pay_1.2"),
    "crashed while charging": (after(payment(), Status.PROCESSING), 2, "pay_1.2"),
    "unknown": (after(payment(), Status.PROCESSING, Status.UNKNOWN), 1, "pay_1.2"),
    "waits for its customer": (after(payment(), Status.PROCESSING, Status.REQUIRES_ACTION), 3, "pay_1.2"),
    "settles": (after(payment(), Status.PROCESSING, gateway_reference="pi_1"), 2, "pay_1.2"),
    "settled and not audited": (after(payment(), Status.PROCESSING, Status.SUCCEEDED), 2, "pay_1.2"),
    "held for review and not audited": (after(payment(), Status.PROCESSING, Status.IN_REVIEW), 1, "pay_1.2"),
    "of a batch, and back to pending": (after(batch_payment(), Status.PROCESSING, Status.PENDING), 1, "pay_1.2"),
}


@pytest.mark.parametrize(("row", "units", "execution"), LEFTOVERS.values(), ids=list(LEFTOVERS))
def test_recovery_takes_up_a_leftover_payment_when_due_and_only_once(row: Payment, units: int, execution: str) -> None:
    scenario = RecoveryScenario(row)
    too_early = scenario.recover(after_units=units - 0.1)
    assert (too_early["taken_up"], scenario.workflow.started) == (0, [])
    assert scenario.recover(after_units=0.1)["taken_up"] == 1
    assert scenario.recover()["taken_up"] == 0
    assert scenario.workflow.started == [execution]


@pytest.mark.parametrize(("row", "units", "execution"), LEFTOVERS.values(), ids=list(LEFTOVERS))
def test_concurrent_recoveries_take_up_a_payment_once(row: Payment, units: int, execution: str) -> None:
    scenario = RecoveryScenario(row)
    others: list[Counter[str]] = []
    scenario.other_run.meanwhile = lambda: others.append(scenario.recover())
    ours = scenario.recover(after_units=units)
    assert (ours["taken_up"], others[0]["taken_up"]) == (0, 1)
    assert scenario.workflow.started == [execution]


def test_recovery_leaves_a_payment_alone_that_moves_on_meanwhile() -> None:
    scenario = RecoveryScenario(payment())
    scenario.other_run.meanwhile = lambda: scenario.payments.save(after(payment(), Status.PROCESSING))
    assert scenario.recover(after_units=1)["taken_up"] == 0
    assert scenario.workflow.started == []


@pytest.mark.parametrize("status", [Status.SUCCEEDED, Status.DECLINED, Status.FAILED, Status.IN_REVIEW])
def test_recovery_leaves_an_audited_settled_or_held_payment_alone(status: Status) -> None:
    row = after(payment(), Status.PROCESSING, status)
    scenario = RecoveryScenario(row)
    audit(row, log=scenario.log, heads=heads_of(scenario.log))
    assert scenario.recover(after_units=100)["taken_up"] == 0


def test_recovery_leaves_a_queued_payment_in_the_queue() -> None:
    assert RecoveryScenario(batch_payment()).recover(after_units=100)["taken_up"] == 0


def test_recovery_waits_longer_after_each_restart_without_effect() -> None:
    scenario = RecoveryScenario(after(payment(), Status.PROCESSING, Status.UNKNOWN, gateway_reference="mem_1"))
    taken_up = [unit for unit in range(1, 40) if scenario.recover(after_units=1)["taken_up"]]
    assert taken_up == [1, 3, 7, 15, 27, 39]
    assert len(set(scenario.workflow.started)) == 6


@pytest.mark.fault(50)
@pytest.mark.parametrize(("executes", "status"), [(True, Status.SUCCEEDED), (False, Status.FAILED)])
def test_recovery_reads_the_list_once_for_all_unknown_payments(executes: bool, status: Status) -> None:
    scenario = RecoveryScenario(*(payment(f"pay_{number}") for number in range(3)))
    for payment_id, row in scenario.payments.rows.items():
        scenario.gateway.fail(Fault(FaultKind.ANSWER_LOST, payment_id, executes=executes))
        with suppress(OutcomeUnknown):
            scenario.run(payment_id)
        scenario.payments.rows[payment_id] = after(
            scenario.payments.rows[payment_id], Status.UNKNOWN, at=scenario.clock()
        )
        assert row.status is Status.PENDING
    scenario.clock.wait(RecoveryTimeouts().proof)
    assert scenario.recover()["taken_up"] == 3
    assert {scenario.run(payment_id).status for payment_id in scenario.payments.rows} == {status}


@pytest.mark.fault(50)
def test_recovery_searches_as_usual_when_the_list_is_refused() -> None:
    scenario = RecoveryScenario(after(payment(), Status.PROCESSING, Status.UNKNOWN, at=NOON))
    scenario.gateway.fail(Fault(FaultKind.UNAUTHORIZED, call="listed", times=100))
    assert scenario.recover(after_units=3) == {"taken_up": 1, "lists_not_read": 1}


@pytest.mark.fault(4)
def test_recovery_starts_it_later_when_the_start_fails_after_the_claim() -> None:
    scenario = RecoveryScenario(payment())

    def fails(payment_id: str) -> None:
        raise ConnectionError("no answer from Step Functions")

    start, scenario.workflow.start = scenario.workflow.start, fails  # type: ignore[method-assign]
    with pytest.raises(ConnectionError):
        scenario.recover(after_units=1)
    scenario.workflow.start = start  # type: ignore[method-assign]
    assert scenario.recover(after_units=1)["taken_up"] == 0
    assert scenario.recover(after_units=1)["taken_up"] == 1
    assert len(scenario.workflow.started) == 1


@pytest.mark.fault(37)
def test_recovery_closes_a_payment_whose_webhook_never_comes() -> None:
    scenario = RecoveryScenario(payment(method="pm_card_threeDSecure2Required"))
    scenario.gateway.finish(scenario.run().gateway_reference, well=True)
    assert scenario.recover(after_units=3)["taken_up"] == 1
    assert scenario.workflow.started == ["pay_1.2"]
    assert scenario.run().status is Status.SUCCEEDED
    assert scenario.recover(after_units=100) == Counter()


@pytest.mark.fault(37)
def test_recovery_closes_a_charge_that_settled_without_a_webhook() -> None:
    scenario = RecoveryScenario(payment(metadata={"settles_later": "yes"}))
    scenario.gateway.finish(scenario.run().gateway_reference, well=True)
    assert scenario.recover(after_units=2)["taken_up"] == 1
    assert scenario.run().status is Status.SUCCEEDED
    assert scenario.recover(after_units=100) == Counter()


@pytest.mark.fault(11)
def test_recovery_asks_about_an_unknown_charge_until_proven_absent() -> None:
    scenario = RecoveryScenario(after(payment(), Status.PROCESSING, Status.UNKNOWN))
    statuses = []
    for _ in range(3):
        assert scenario.recover(after_units=1)["taken_up"] in (0, 1)
        statuses.append(scenario.run().status)
    assert statuses == [Status.UNKNOWN, Status.FAILED, Status.FAILED]
    assert scenario.gateway.captured == []


def test_recovery_counts_payments_open_for_an_hour_as_overdue() -> None:
    rows = {
        "pending": payment(),
        "processing": after(payment(), Status.PROCESSING),
        "unknown": after(payment(), Status.PROCESSING, Status.UNKNOWN),
        "unaudited": after(payment(), Status.PROCESSING, Status.SUCCEEDED),
    }
    scenario = RecoveryScenario(*(replace(row, payment_id=name) for name, row in rows.items()))
    assert scenario.recover(after_units=11.9)["overdue"] == 0
    assert scenario.recover(after_units=0.1)["overdue"] == len(rows)


def test_recovery_counts_no_wait_for_a_customer_or_bank_as_overdue() -> None:
    scenario = RecoveryScenario(
        after(payment("customer"), Status.PROCESSING, Status.REQUIRES_ACTION),
        after(payment("bank"), Status.PROCESSING, gateway_reference="pi_1"),
    )
    assert scenario.recover(after_units=311.9)["overdue"] == 0


@pytest.mark.fault(53)
def test_payment_whose_charge_the_gateway_does_not_know_is_overdue_at_last() -> None:
    """A 404 for the reference of a payment that waits for its customer proves nothing, and no other alarm fires."""
    scenario = RecoveryScenario(
        after(payment(), Status.PROCESSING, Status.REQUIRES_ACTION, gateway_reference="pi_of_another_account")
    )
    scenario.clock.wait(312 * UNIT)
    with pytest.raises(OutcomeUnknown):
        scenario.run()
    assert scenario.payments.rows["pay_1"].status is Status.REQUIRES_ACTION
    assert scenario.recover()["overdue"] == 1


def test_recovery_counts_payments_in_review_but_not_as_overdue() -> None:
    row = after(payment(), Status.PROCESSING, Status.IN_REVIEW)
    scenario = RecoveryScenario(row)
    audit(row, log=scenario.log, heads=heads_of(scenario.log))
    assert scenario.recover(after_units=1000) == Counter(in_review=1)


# The gateway's events ------------------------------------------------------------------------------


@pytest.mark.fault(35)
def test_recovery_applies_a_parked_event_once_when_its_payment_exists() -> None:
    scenario = RecoveryScenario()
    scenario.events.add(gateway_event())
    scenario.recover()
    assert len(list(scenario.events.parked())) == 1
    scenario.payments.rows["pay_1"] = after(payment(), Status.PROCESSING, Status.REQUIRES_ACTION)
    scenario.recover(after_units=0.3)
    scenario.recover()
    assert len(scenario.workflow.reconciling) == 1
    scenario.events.settle(
        "evt_1", EventState.APPLIED, scenario.clock()
    )  # as the record step does, once it is answered
    scenario.recover(after_units=10)
    assert len(scenario.workflow.reconciling) == 1


def test_recovery_asks_again_at_5_10_and_20_minutes_without_an_answer() -> None:
    row = after(payment(), Status.PROCESSING, Status.SUCCEEDED, gateway_reference="pi_1")
    scenario = RecoveryScenario(row)
    audit(row, log=scenario.log, heads=heads_of(scenario.log))
    scenario.events.add(gateway_event("charge.refunded"))
    asked = []
    for minute in range(25):
        scenario.clock.now = NOON + timedelta(minutes=minute)
        before = len(scenario.workflow.started)
        scenario.recover()
        asked += [minute] * (len(scenario.workflow.started) - before)
    assert asked == [0, 5, 10, 20]
    assert set(scenario.workflow.reasons.values()) == {"evt_1"}
    assert [event.event_id for event in scenario.events.parked()] == ["evt_1"]


def refund_failed(scenario: RecoveryScenario, number: int = 1) -> GatewayEvent:
    """A stored event of a refund whose payment is not known."""
    event = gateway_event("refund.failed", f"evt_{number}", payment_id="", reference="mem_1")
    scenario.recovery.webhooks.receive(event)
    return event


def refunded_scenario() -> RecoveryScenario:
    row = after(payment(), Status.PROCESSING, Status.SUCCEEDED, Status.REFUNDED, gateway_reference="mem_1")
    scenario = RecoveryScenario(row)
    audit(row, log=scenario.log, heads=heads_of(scenario.log))
    scenario.gateway.charge(ChargeRequest("pay_1", row.money, "pm_card_visa"))
    return scenario


def test_recovery_finds_the_payment_of_a_failed_refund_and_asks() -> None:
    scenario = refunded_scenario()
    event = refund_failed(scenario)
    assert scenario.recover()["refund_events"] == 1
    assert scenario.events.events[event.event_id].payment_id == "pay_1"
    assert set(scenario.workflow.reasons.values()) == {event.event_id}
    assert scenario.recover()["refund_events"] == 0


@pytest.mark.parametrize("kind", [FaultKind.SERVER_ERROR, FaultKind.RATE_LIMITED, FaultKind.UNAUTHORIZED])
def test_recovery_asks_for_the_payment_of_a_refund_until_it_knows(kind: FaultKind) -> None:
    scenario = refunded_scenario()
    refund_failed(scenario)
    scenario.gateway.fail(Fault(kind, call="ids_of"))
    scenario.recover()
    assert scenario.workflow.reasons == {}
    scenario.recover(after_units=0.3)
    assert len(scenario.workflow.reasons) == 1


def test_recovery_asks_a_silent_gateway_about_one_refund_a_run() -> None:
    scenario = refunded_scenario()
    for number in range(5):
        refund_failed(scenario, number)
    scenario.gateway.fail(Fault(FaultKind.SERVER_ERROR, call="ids_of", times=1))
    assert scenario.recover()["refund_events"] == 1
    assert scenario.recover()["refund_events"] == 4


def test_recovery_counts_a_contradicting_parked_event_once() -> None:
    scenario = RecoveryScenario(after(payment(), Status.PROCESSING, Status.DECLINED))
    audit(scenario.payments.rows["pay_1"], log=scenario.log, heads=heads_of(scenario.log))
    scenario.events.add(gateway_event())
    assert scenario.recover() == Counter(contradicting_events=1)
    assert scenario.recover() == Counter()
    assert scenario.events.events["evt_1"].state is EventState.CONTRADICTS


# Batches -------------------------------------------------------------------------------------------


@pytest.mark.fault(30)
def test_recovery_resumes_a_crashed_splitter_after_its_claim_expired() -> None:
    scenario = RecoveryScenario()
    scenario.batches.claim_split(BATCH, Claim("a", NOON, NOON + UNIT))
    scenario.recover(after_units=0.9)
    assert scenario.resumed == []
    assert scenario.recover(after_units=0.1)["batches_resumed"] == 1
    assert (scenario.resumed, scenario.reported) == ([SOURCE], [])


def test_recovery_starts_a_report_that_was_never_started() -> None:
    scenario = RecoveryScenario()
    scenario.split()
    assert scenario.recover()["batches_resumed"] == 1
    assert (scenario.resumed, scenario.reported) == ([], ["b1"])


def test_recovery_restarts_a_crashed_report_after_its_claim_expired() -> None:
    scenario = RecoveryScenario()
    scenario.split()
    scenario.batches.claim_report("b1", Claim("r", NOON, NOON + UNIT))
    scenario.recover(after_units=0.9)
    assert scenario.reported == []
    assert scenario.recover(after_units=0.1)["batches_resumed"] == 1
    assert scenario.reported == ["b1"]


def lost() -> RecoveryScenario:
    """A batch of twelve whose messages are gone: none was ever started."""
    scenario = RecoveryScenario()
    scenario.split(*(batch_payment(f"p{line}", line) for line in range(2, 14)))
    return scenario


def test_recovery_requeues_lost_messages_in_groups_of_ten() -> None:
    scenario = lost()
    assert scenario.recover(after_units=1.9)["requeued"] == 0
    assert scenario.recover(after_units=0.1)["requeued"] == 12
    assert scenario.queue.messages == [QueuedPayment(f"p{line}", "b1", line) for line in range(2, 14)]
    assert scenario.queue.requests == [10, 2]


def test_recovery_out_of_time_within_a_batch_queues_what_it_looked_at() -> None:
    scenario = lost()

    def seconds_left() -> float:
        return 60 if sum(row.restarts for row in scenario.payments.rows.values()) < 11 else RESERVE_SECONDS - 1

    assert scenario.recover(after_units=2, seconds_left=seconds_left)["requeued"] == 11
    assert [message.line for message in scenario.queue.messages] == list(range(2, 13))
    assert scenario.recover(after_units=0.3)["requeued"] == 1  # the next run continues at the line
    assert scenario.recover(after_units=2.1)["requeued"] == 12


def test_recovery_failing_within_a_batch_has_queued_the_groups_before() -> None:
    scenario = lost()
    get, looked_at = scenario.payments.get, []

    def crash(payment_id: str) -> Payment | None:
        looked_at.append(payment_id)
        if len(looked_at) > 11:
            raise ConnectionError("the table does not answer")
        return get(payment_id)

    scenario.payments.get = crash  # type: ignore[method-assign]
    with pytest.raises(ConnectionError):
        scenario.recover(after_units=2)
    assert len(scenario.queue.messages) == 10


def test_recovery_trusts_the_row_when_the_index_lags() -> None:
    scenario = RecoveryScenario()
    scenario.split(batch_payment())
    stale = [batch_payment()]
    scenario.payments.rows["pay_1"] = after(batch_payment(), Status.PROCESSING, Status.SUCCEEDED)
    scenario.payments.of_batch = lambda batch_id, after=0: iter(stale)  # type: ignore[method-assign]
    found = scenario.recover(after_units=2)
    assert (found["requeued"], found["rows_closed"]) == (0, 1)


def test_concurrent_recoveries_repair_a_batch_once() -> None:
    scenario = lost()
    others: list[Counter[str]] = []
    scenario.other_run.meanwhile = lambda: others.append(scenario.recover())
    assert (scenario.recover(after_units=2)["requeued"], others[0]["requeued"]) == (0, 12)
    assert len(scenario.queue.messages) == 12


SLOT = timedelta(microseconds=43_479)
OTHERS = [QueuedPayment("other", "b2", 2)]


@pytest.mark.fault(62)
def test_recovery_repairs_lost_rows_by_age_beside_a_busy_queue() -> None:
    scenario = lost()
    scenario.queue.messages += 1_000 * OTHERS
    scenario.recovery = replace(scenario.recovery, slot=SLOT)
    assert scenario.recover(after_units=1.9)["requeued"] == 0
    assert scenario.recover(after_units=0.2)["requeued"] == 12


def test_recovery_leaves_rows_alone_whose_messages_may_still_wait() -> None:
    """100,000 messages take 73 minutes at 23 a second. A row that waits for less than twice that is not lost."""
    scenario = lost()
    scenario.queue.messages += 100_000 * OTHERS
    scenario.recovery = replace(scenario.recovery, slot=SLOT)
    found = Counter[str]()
    for _ in range(26):
        found += scenario.recover(after_units=1)
    assert found["requeued"] == 0
    assert scenario.recover(after_units=4)["requeued"] == 12


@pytest.mark.fault(62)
def test_recovery_counts_a_batch_that_makes_no_progress_for_an_hour() -> None:
    scenario = RecoveryScenario()
    scenario.split(after(batch_payment("p2", 2), Status.PROCESSING), after(batch_payment("p3", 3), Status.PROCESSING))
    stuck = [scenario.recover(after_units=1)["batches_stuck"] for _ in range(14)]
    assert stuck == 12 * [0] + [1, 1]
    scenario.payments.rows["p2"] = after(scenario.payments.rows["p2"], Status.SUCCEEDED)
    scenario.recovery.rows.close(scenario.payments.rows["p2"])
    assert scenario.recover(after_units=1)["batches_stuck"] == 0


def test_recovery_counts_no_batch_as_stuck_that_is_paused_or_queued() -> None:
    scenario = lost()
    scenario.queue.messages += 100_000 * OTHERS
    scenario.recovery = replace(scenario.recovery, slot=SLOT)
    found = Counter[str]()
    for unit in range(60):
        if unit == 20:
            scenario.breaker.pause(PausedBy.OPERATOR, "", NOON)
        found += scenario.recover(after_units=1)
    assert found["batches_stuck"] == 0


@pytest.mark.parametrize("by", PausedBy)
def test_recovery_adds_no_message_while_batches_are_paused(by: PausedBy) -> None:
    scenario = lost()
    scenario.breaker.pause(by, "", NOON)
    scenario.gateway.fail(Fault(FaultKind.UNAUTHORIZED, times=100))
    assert scenario.recover(after_units=100)["requeued"] == 0


def test_recovery_requeues_messages_lost_again_after_a_wait() -> None:
    scenario = lost()
    scenario.recover(after_units=2)
    scenario.queue.messages.clear()
    assert scenario.recover(after_units=1)["requeued"] == 0
    assert scenario.recover(after_units=1)["requeued"] == 12


def test_recovery_restarts_a_batch_payment_whose_execution_wrote_nothing() -> None:
    scenario = lost()
    scenario.workflow.start("p2")  # and failed: its name is used, and another message starts nothing
    scenario.recover(after_units=2)
    scenario.queue.messages.clear()
    scenario.recover(after_units=2)
    assert "p2.3" in scenario.workflow.started


def test_recovery_closes_an_uncounted_row_and_starts_the_report() -> None:
    scenario = RecoveryScenario()
    scenario.split(after(batch_payment(), Status.PROCESSING, Status.SUCCEEDED))
    assert scenario.recover(after_units=2)["rows_closed"] == 1
    assert scenario.batch.rows_closed == 1
    assert scenario.reported == ["b1"]


def test_recovery_does_not_requeue_started_payments_of_a_batch() -> None:
    scenario = RecoveryScenario()
    scenario.split(
        after(batch_payment("p2", 2), Status.PROCESSING),
        after(batch_payment("p3", 3), Status.PROCESSING, Status.PENDING),
        replace(after(batch_payment("p4", 4), Status.PROCESSING, Status.SUCCEEDED), batch_row_closed=True),
        batch_payment("p5", 5),
    )
    found = scenario.recover(after_units=2)
    assert (found["requeued"], found["rows_closed"], found["taken_up"]) == (1, 0, 3)
    assert [message.payment_id for message in scenario.queue.messages] == ["p5"]


# The batch breaker ---------------------------------------------------------------------------------


def paused(*rows: Payment, by: PausedBy = PausedBy.GATEWAY) -> RecoveryScenario:
    scenario = RecoveryScenario(*rows)
    scenario.breaker.pause(by, "the key is refused", NOON)
    return scenario


REFUSED = after(payment(), Status.PROCESSING, Status.PENDING)
"""A payment that the gateway refused with everything else."""


@pytest.mark.fault(19)
def test_recovery_sends_nothing_and_stays_paused_while_still_refused() -> None:
    scenario = paused(REFUSED)
    scenario.gateway.fail(Fault(FaultKind.UNAUTHORIZED, times=100))
    assert scenario.recover(after_units=100)["lane_paused"] == 1
    assert (scenario.workflow.started, scenario.breaker.state().probe) == ([], "")
    assert not scenario.delivery.on


@pytest.mark.fault(19)
def test_recovery_sends_one_probe_and_stays_paused_once_gateway_answers() -> None:
    scenario = paused(REFUSED, replace(REFUSED, payment_id="pay_2"), replace(REFUSED, payment_id="pay_3"))
    assert scenario.recover(after_units=2)["lane_paused"] == 1
    assert len(scenario.workflow.started) == 1
    assert scenario.workflow.started[0].partition(".")[0] == scenario.breaker.state().probe
    assert not scenario.delivery.on


@pytest.mark.fault(19)
def test_recovery_resumes_batches_and_delivery_after_a_successful_probe() -> None:
    scenario = paused(REFUSED)
    scenario.recover(after_units=2)
    assert scenario.run().status is Status.SUCCEEDED
    assert scenario.recover()["lane_paused"] == 0
    assert scenario.breaker.state() == BreakerState()
    assert scenario.delivery.on


@pytest.mark.fault(19)
def test_recovery_resumes_batches_after_a_declined_probe() -> None:
    scenario = paused(after(payment(method="pm_card_chargeDeclined"), Status.PROCESSING, Status.PENDING))
    scenario.recover(after_units=2)
    assert scenario.run().status is Status.DECLINED
    assert scenario.recover()["lane_paused"] == 0


@pytest.mark.fault(19)
@pytest.mark.parametrize("ended", [Status.FAILED, Status.UNKNOWN])
def test_recovery_sends_another_probe_after_one_without_a_gateway_answer(ended: Status) -> None:
    scenario = paused(REFUSED)
    scenario.recover(after_units=2)
    scenario.payments.rows["pay_1"] = after(REFUSED, Status.PROCESSING, ended)
    scenario.payments.rows["pay_2"] = replace(REFUSED, payment_id="pay_2")
    assert scenario.recover()["lane_paused"] == 1
    assert scenario.breaker.state().probe == "pay_2"
    assert scenario.workflow.started == ["pay_1.2", "pay_2.2"]


@pytest.mark.fault(19)
def test_recovery_stays_paused_after_a_refused_probe_and_retries_later() -> None:
    scenario = paused(REFUSED)
    runs = [scenario.recover(after_units=1)["lane_paused"] for _ in range(7)]
    assert runs == [1] * 7
    assert len(scenario.workflow.started) == 3  # at 1, 3 and 7 units, as for every open payment


@pytest.mark.fault(19)
def test_recovery_resumes_when_the_gateway_answers_and_no_payment_waits() -> None:
    scenario = paused()
    scenario.gateway.fail(Fault(FaultKind.UNAUTHORIZED))
    assert scenario.recover()["lane_paused"] == 1
    assert scenario.recover()["lane_paused"] == 0


@pytest.mark.fault(53)
@pytest.mark.parametrize("method", ["pm_card_chargeDeclined", "pm_card_threeDSecure2Required"])
def test_recovery_resumes_although_a_payment_named_gateway_did_not_succeed(method: str) -> None:
    """`gateway` was the payment id of the question to the gateway."""
    scenario = paused()
    with pytest.raises(PaymentError):
        scenario.gateway.charge(ChargeRequest("gateway", Money(9999, "USD"), method))
    assert scenario.recover()["lane_paused"] == 0


@pytest.mark.fault(53)
def test_recovery_resumes_where_the_gateway_refuses_to_search() -> None:
    scenario = paused()
    scenario.gateway.fail(Fault(FaultKind.UNAUTHORIZED, call="find", times=100))
    assert scenario.recover()["lane_paused"] == 0


@pytest.mark.fault(19, 86)
@pytest.mark.parametrize(
    ("by", "now", "finding"),
    [
        (PausedBy.GATEWAY, FaultKind.NOT_SENT, "gateway_unreachable"),
        (PausedBy.OUTAGE, FaultKind.NOT_SENT, "gateway_unreachable"),
        (PausedBy.GATEWAY, FaultKind.UNAUTHORIZED, "lane_paused"),
        (PausedBy.OUTAGE, FaultKind.UNAUTHORIZED, "lane_paused"),
    ],
)
def test_recovery_counts_a_pause_under_its_cause_of_now(by: PausedBy, now: FaultKind, finding: str) -> None:
    """Each has an alarm: an outage is seen although a rejected key paused the breaker, and clears before the key."""
    scenario = paused(REFUSED, by=by)
    scenario.gateway.fail(Fault(now, times=100))
    found = scenario.recover(after_units=1)
    assert {name for name in ("gateway_unreachable", "lane_paused", "paused_by_operator") if found[name]} == {finding}


def test_recovery_leaves_it_to_the_operator_to_resume_their_pause() -> None:
    scenario = paused(REFUSED, by=PausedBy.OPERATOR)
    scenario.recover(after_units=2)
    scenario.run()
    assert scenario.recover(after_units=100)["paused_by_operator"] == 1
    assert scenario.breaker.state() == BreakerState("operator", "the key is refused", iso(NOON))
    assert not scenario.delivery.on
    scenario.breaker.resume(NOON)
    scenario.recover()
    assert scenario.delivery.on


@pytest.mark.parametrize(
    ("by", "source", "taken_up"),
    [
        ("gateway", "rest", 0),
        ("gateway", "batch", 0),
        ("operator", "rest", 1),
        ("operator", "batch", 0),
        ("outage", "rest", 0),
        ("outage", "batch", 0),
    ],
)
def test_recovery_holds_back_the_pending_payments_that_a_pause_covers(by: str, source: str, taken_up: int) -> None:
    row = after(payment() if source == "rest" else batch_payment(), Status.PROCESSING, Status.PENDING)
    scenario = paused(row, by=PausedBy(by))
    scenario.gateway.fail(Fault(FaultKind.UNAUTHORIZED))
    assert scenario.recover(after_units=10)["taken_up"] == taken_up


@pytest.mark.fault(86)
def test_recovery_restarts_a_held_payment_at_its_deadline() -> None:
    row = replace(
        after(payment(), Status.PROCESSING, Status.PENDING),
        history=(Change(3, Status.PENDING, iso(NOON), SENDER, GATEWAY_UNREACHABLE),),
    )
    scenario = paused(row, replace(REFUSED, payment_id="pay_2"), by=PausedBy.OUTAGE)
    scenario.gateway.fail(Fault(FaultKind.NOT_SENT, times=1000))
    assert scenario.recover(after_units=280) == Counter(gateway_unreachable=1, overdue=2)
    assert scenario.recover(after_units=9)["taken_up"] == 1
    assert scenario.workflow.started == ["pay_1.2"]


@pytest.mark.parametrize("by", PausedBy)
def test_recovery_asks_about_a_possible_charge_even_while_paused(by: PausedBy) -> None:
    scenario = paused(after(batch_payment(), Status.PROCESSING), by=by)
    scenario.gateway.fail(Fault(FaultKind.UNAUTHORIZED))
    assert scenario.recover(after_units=10)["taken_up"] == 1


def test_recovery_does_not_switch_delivery_that_is_already_right() -> None:
    scenario = RecoveryScenario()
    switched: list[bool] = []
    scenario.delivery.switch = lambda *, on: switched.append(on)  # type: ignore[method-assign]
    scenario.recover()
    scenario.breaker.pause(PausedBy.OPERATOR, "", NOON)
    scenario.recover()
    assert switched == [False]


# In time -------------------------------------------------------------------------------------------


def test_recovery_out_of_time_serves_every_kind_and_the_next_continues() -> None:
    scenario = RecoveryScenario(*(payment(f"pay_{number}") for number in range(5)))
    scenario.batches.claim_split(BATCH, Claim("a", NOON, NOON))

    def seconds_left() -> float:
        return 60 if len(scenario.workflow.started) < 2 else RESERVE_SECONDS - 1

    assert scenario.recover(after_units=1, seconds_left=seconds_left) == Counter(taken_up=2, batches_resumed=1)
    assert scenario.recover()["taken_up"] == 3


def test_recovery_out_of_time_among_events_stops_there() -> None:
    scenario = RecoveryScenario()
    for number in range(5):
        scenario.payments.rows[f"p{number}"] = after(payment(f"p{number}"), Status.PROCESSING, Status.DECLINED)
        scenario.events.add(gateway_event("payment_intent.canceled", f"evt_{number}", f"p{number}"))
    scenario.recover(seconds_left=lambda: 0)
    assert len(list(scenario.events.parked())) == 4
    scenario.recover()
    assert list(scenario.events.parked()) == []


@pytest.mark.fault(67)
def test_event_without_an_answer_starts_few_executions_in_three_hours() -> None:
    """An Express execution that ends before the gateway's answer must not be started again each minute."""
    scenario = RecoveryScenario(after(payment(), Status.PROCESSING, Status.REQUIRES_ACTION))
    scenario.events.add(gateway_event())
    for _ in range(180):
        scenario.recover()
        scenario.clock.wait(timedelta(minutes=1))
    assert len(scenario.workflow.reconciling) == 7  # at once, and at 5, 10, 20, 40, 80 and 160 minutes
    assert len(scenario.workflow.started) <= 12


# A payment whose recovery fails --------------------------------------------------------------------------------------


def test_recovery_reports_a_payment_that_fails_and_takes_up_the_others() -> None:
    scenario = RecoveryScenario(payment("pay_bad"), payment("pay_good"))
    scenario.clock.wait(timedelta(hours=1))
    start, errors = scenario.workflow.start, list[Exception]()

    def fail(payment_id: str) -> None:
        if payment_id == "pay_bad":
            raise RuntimeError("no such name can be started")
        start(payment_id)

    scenario.workflow.start = fail  # type: ignore[method-assign]
    found = replace(scenario.recovery, on_error=errors.append).recover(lambda: 300)
    assert (scenario.workflow.started, found["taken_up"]) == (["pay_good"], 1)
    assert [str(error) for error in errors] == ["no such name can be started"]


def test_recovery_without_on_error_stops_at_the_first_failure() -> None:
    scenario = RecoveryScenario(payment("pay_bad"))
    scenario.clock.wait(timedelta(hours=1))
    scenario.workflow.start = Mock(side_effect=RuntimeError("no"))  # type: ignore[method-assign]
    with pytest.raises(RuntimeError):
        scenario.recovery.recover(lambda: 300)


# One run at a time, and all kinds in each ----------------------------------------------------------------------------


@pytest.mark.fault(60)
def test_recovery_serves_all_kinds_beside_customers_that_fill_the_run() -> None:
    customers = [after(payment(f"c_{number}"), Status.PROCESSING, Status.REQUIRES_ACTION) for number in range(500)]
    scenario = RecoveryScenario(*customers, replace(payment("pay_new"), created_at=iso(NOON + UNIT)))
    scenario.batches.claim_split(BATCH, Claim("a", NOON, NOON))
    scenario.payments.rows["pay_1"] = after(payment(), Status.PROCESSING, Status.DECLINED)
    scenario.events.add(gateway_event())
    ends = NOON + 4 * UNIT + timedelta(seconds=100)

    def seconds_left() -> float:
        return (ends - scenario.clock.now).total_seconds()

    found = scenario.recover(after_units=4, seconds_left=seconds_left)
    assert (found["contradicting_events"], found["batches_resumed"]) == (1, 1)
    assert "pay_new" in scenario.workflow.started
    assert len(scenario.workflow.started) < 100  # the customers did not all fit


@pytest.mark.fault(61)
def test_recovery_applies_our_event_beside_hundreds_of_another_system() -> None:
    scenario = RecoveryScenario(after(payment(), Status.PROCESSING, Status.DECLINED))
    for number in range(600):
        scenario.events.add(gateway_event(event_id=f"evt_other_{number}", payment_id=f"other_{number}"))
    scenario.events.add(gateway_event(event_id="evt_ours", at=NOON + timedelta(seconds=1)))
    get = scenario.events.get

    def slow_get(event_id: str) -> GatewayEvent | None:
        scenario.clock.wait(timedelta(seconds=1))
        return get(event_id)

    scenario.events.get = slow_get  # type: ignore[method-assign]
    found = Counter[str]()
    for _ in range(10):  # one run has the time for fewer than 300 events
        ends = scenario.clock.now + timedelta(seconds=300)
        found += scenario.recover(seconds_left=lambda: (ends - scenario.clock.now).total_seconds())  # noqa: B023
    assert found["contradicting_events"] == 1


def test_recovery_looks_at_a_foreign_event_a_dozen_times_in_a_week() -> None:
    scenario = RecoveryScenario()
    scenario.events.add(gateway_event())
    get, looks = scenario.events.get, list[datetime]()

    def counted(event_id: str) -> GatewayEvent | None:
        looks.append(scenario.clock.now)
        return get(event_id)

    scenario.events.get = counted  # type: ignore[method-assign]
    for _ in range(7 * 24 * 12 + 200):
        scenario.recover(after_units=1)
    assert len(looks) < 15
    assert scenario.events.events["evt_1"].state is EventState.IGNORED


def test_recovery_works_one_run_at_a_time_and_every_run_measures() -> None:
    scenario = RecoveryScenario(payment())
    backlogs: list[tuple[Kind, int]] = []
    scenario.recovery = replace(
        scenario.recovery,
        lease=MemoryLease(),
        on_backlog=lambda kind, backlog: backlogs.append((kind, backlog.due)),
    )
    scenario.recovery.lease.take("another run", NOON, NOON + 2 * UNIT)
    assert scenario.recover(after_units=1) == Counter()
    assert backlogs == [(Kind.PENDING, 1)]
    assert scenario.recover(after_units=1)["taken_up"] == 1


def test_killed_recovery_run_delays_the_next_one_by_a_minute_at_most() -> None:
    scenario = RecoveryScenario(payment())
    scenario.recovery = replace(scenario.recovery, lease=MemoryLease())
    scenario.clock.wait(UNIT)
    scenario.recovery.lease.release = Mock()  # type: ignore[method-assign]
    scenario.recovery.recover(lambda: 300, "killed")
    assert not scenario.recovery.lease.take("second", scenario.clock(), scenario.clock())
    scenario.clock.wait(timedelta(minutes=1))
    assert scenario.recovery.lease.take("second", scenario.clock(), scenario.clock())


def test_long_recovery_run_extends_its_lease_and_ends_when_it_lost_it() -> None:
    scenario = RecoveryScenario(*(payment(f"pay_{number}") for number in range(100)))
    scenario.recovery = replace(scenario.recovery, lease=MemoryLease(), slot=timedelta(seconds=3))
    scenario.clock.wait(UNIT)
    lease, began_at = scenario.recovery.lease, scenario.clock()
    started: list[timedelta] = []

    def start(payment_id: str) -> None:
        assert payment_id
        started.append(scenario.clock() - began_at)
        if started[-1] < timedelta(minutes=3):
            assert not lease.take("second", scenario.clock(), scenario.clock())
        else:
            lease.release("first")
            lease.take("second", scenario.clock(), scenario.clock() + timedelta(hours=1))

    scenario.workflow.start = start  # type: ignore[method-assign]
    scenario.recovery.recover(lambda: (began_at - scenario.clock()).total_seconds() + 3_600, "first")
    assert timedelta(minutes=3) < started[-1] < timedelta(minutes=4)


def test_recovery_releases_its_lease_also_after_an_error() -> None:
    scenario = RecoveryScenario(payment("pay_bad"))
    scenario.recovery = replace(scenario.recovery, lease=MemoryLease())
    scenario.clock.wait(timedelta(hours=1))
    scenario.workflow.restart = scenario.workflow.start = Mock(side_effect=RuntimeError("no"))  # type: ignore[method-assign]
    with pytest.raises(RuntimeError):
        scenario.recovery.recover(lambda: 300, "first")
    assert scenario.recovery.lease.take("second", scenario.clock(), scenario.clock())


def test_recovery_starts_executions_no_faster_than_the_gateway_allows() -> None:
    scenario = RecoveryScenario(*(payment(f"pay_{number}") for number in range(50)))
    scenario.recovery = replace(scenario.recovery, slot=timedelta(seconds=10))
    scenario.recover(after_units=1, seconds_left=lambda: 300)
    times = sorted(row.restarted_at for row in scenario.payments.rows.values())
    apart = {parse_iso(later) - parse_iso(earlier) for earlier, later in pairwise(times)}
    assert min(apart) >= timedelta(seconds=10)


# One batch is paused or canceled ----------------------------------------------------------------------


def switched(scenario: RecoveryScenario, state: SwitchState) -> None:
    """Set the switch of the batch, as an admin does."""
    switch_batch("b1", state, by="admin:jo", batches=scenario.batches, clock=scenario.clock)


@pytest.mark.parametrize("state", [SwitchState.PAUSED, SwitchState.CANCELED])
def test_recovery_starts_and_queues_nothing_of_a_held_batch(state: SwitchState) -> None:
    scenario = RecoveryScenario()
    back = after(batch_payment("p3", 3), Status.PROCESSING, Status.PENDING)
    scenario.split(batch_payment("p2", 2), back)
    switched(scenario, state)
    for _ in range(30):
        found = scenario.recover(after_units=1)
        assert (found["taken_up"], found["requeued"]) == (0, 0)
    assert (scenario.workflow.started, scenario.queue.messages) == ([], [])


@pytest.mark.fault(89)
def test_recovery_counts_no_paused_batch_as_stuck() -> None:
    scenario = RecoveryScenario()
    scenario.split(batch_payment("p2", 2))
    switched(scenario, SwitchState.PAUSED)
    assert not any(scenario.recover(after_units=1)["batches_stuck"] for _ in range(30))


@pytest.mark.fault(89)
def test_recovery_reminds_of_a_batch_that_is_paused_for_hours() -> None:
    scenario = RecoveryScenario()
    scenario.split(batch_payment("p2", 2))
    switched(scenario, SwitchState.PAUSED)
    assert [scenario.recover(after_units=12)["batches_held"] for _ in range(5)] == [0, 0, 0, 1, 1]
    switched(scenario, SwitchState.RUNNING)
    assert scenario.recover(after_units=1)["batches_held"] == 0


@pytest.mark.fault(86, 89)
def test_recovery_leaves_a_paused_payment_beyond_the_outages_deadline() -> None:
    scenario = RecoveryScenario()
    back = after(batch_payment("p2", 2), Status.PROCESSING, Status.PENDING)
    refusal = Change(3, Status.PENDING, iso(NOON), SENDER, GATEWAY_UNREACHABLE)
    scenario.split(replace(back, history=(refusal,)))
    switched(scenario, SwitchState.PAUSED)
    scenario.clock.wait(timedelta(days=2))
    switched(scenario, SwitchState.RUNNING)
    scenario.breaker.pause(PausedBy.OUTAGE, "gateway_unreachable: no connection", scenario.clock())
    scenario.gateway.fail(Fault(FaultKind.NOT_SENT, times=1000))
    assert scenario.recover()["taken_up"] == 0
    scenario.clock.wait(timedelta(days=1))
    assert scenario.recover()["taken_up"] == 1


@pytest.mark.fault(89)
def test_recovery_queues_the_rows_of_a_resumed_batch_in_its_next_run() -> None:
    scenario = RecoveryScenario()
    back = after(batch_payment("p3", 3), Status.PROCESSING, Status.PENDING)
    scenario.split(batch_payment("p2", 2), back)
    switched(scenario, SwitchState.PAUSED)
    scenario.recover(after_units=0.2)
    switched(scenario, SwitchState.RUNNING)
    assert scenario.recover(after_units=0.2)["requeued"] == 1
    assert [message.payment_id for message in scenario.queue.messages] == ["p2"]
    assert scenario.recover(after_units=0.2)["requeued"] == 0
    assert scenario.recover(after_units=1)["taken_up"] == 1
    assert scenario.workflow.started == ["p3.2"]


def test_recovery_of_a_resumed_batch_leaves_rows_to_a_busy_queue() -> None:
    scenario = RecoveryScenario()
    scenario.recovery = replace(scenario.recovery, slot=timedelta(seconds=1))
    scenario.split(batch_payment("p2", 2))
    scenario.queue.messages = [QueuedPayment(f"q{number}", "b2", number) for number in range(600)]
    switched(scenario, SwitchState.PAUSED)
    switched(scenario, SwitchState.RUNNING)
    assert scenario.recover(after_units=0.2)["requeued"] == 0
    scenario.queue.messages.clear()
    assert scenario.recover(after_units=3)["requeued"] == 1


def test_recovery_lets_the_report_function_end_a_canceled_batch() -> None:
    scenario = RecoveryScenario()
    scenario.split(batch_payment("p2", 2))
    switched(scenario, SwitchState.CANCELED)
    assert scenario.recover()["batches_resumed"] == 1
    assert scenario.reported == ["b1"]
    now = scenario.clock()
    scenario.batches.claim_cancel("b1", Claim("run", now, now + timedelta(minutes=2)))
    assert scenario.recover(after_units=0.2)["batches_resumed"] == 0  # it is running
    assert scenario.recover(after_units=0.4)["batches_resumed"] == 1  # it stopped
    scenario.batches.save_cancel("b1", "run", CancelPass(passed_at=iso(scenario.clock())))
    assert scenario.recover(after_units=1)["batches_resumed"] == 0
    assert scenario.recover(after_units=1)["batches_resumed"] == 1  # a row is still open


@pytest.mark.fault(86, 89)
def test_recovery_takes_another_probe_when_the_firsts_batch_is_paused() -> None:
    scenario = RecoveryScenario(replace(REFUSED, payment_id="pay_2"))
    scenario.split(after(batch_payment("p2", 2), Status.PROCESSING, Status.PENDING))
    scenario.breaker.pause(PausedBy.OUTAGE, "gateway_unreachable: no", scenario.clock())
    scenario.breaker.send_probe("p2")
    switched(scenario, SwitchState.PAUSED)
    scenario.recover(after_units=2)
    assert scenario.breaker.state().probe == "pay_2"
    assert scenario.workflow.started == ["pay_2.2"]


@pytest.mark.parametrize("state", [SwitchState.PAUSED, SwitchState.CANCELED])
def test_recovery_sends_no_payment_of_a_held_batch_as_the_probe(state: SwitchState) -> None:
    scenario = RecoveryScenario()
    scenario.split(after(batch_payment("p2", 2), Status.PROCESSING, Status.PENDING))
    switched(scenario, state)
    scenario.breaker.pause(PausedBy.GATEWAY, "key_refused: no", scenario.clock())
    scenario.recover(after_units=2)
    assert scenario.workflow.started == []
    assert not scenario.breaker.state().paused
