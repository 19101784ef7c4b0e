"""Which payments may be sent while the breaker is paused, and the end of those that wait too long."""

from dataclasses import dataclass, field, replace
from datetime import timedelta

import pytest

from fakes.batch_breaker import MemoryBreakerStore
from payments.application.charge import as_recorded
from payments.application.hold import REMEMBERED_FOR, Hold, Waiting
from payments.domain.batch.switch import Switch, SwitchState
from payments.domain.batch_breaker import BreakerState, PausedBy
from payments.domain.clock import iso
from payments.domain.fraud_hold import Verdict
from payments.domain.outcome import Outcome
from payments.domain.payment import SENDER, Payment, moved
from payments.domain.statuses import Status
from tests.unit.builders import NOON, FixedClock, batch_payment, payment

DAY = timedelta(days=1)


class CountedStore(MemoryBreakerStore):
    """Counts the reads."""

    reads = 0

    def state(self) -> BreakerState:
        """The current state."""
        self.reads += 1
        return super().state()


@dataclass
class HoldScenario:
    """A breaker, and the look at it before a payment is sent."""

    store: CountedStore = field(default_factory=CountedStore)
    clock: FixedClock = field(default_factory=FixedClock)

    def __post_init__(self) -> None:
        self.switch = Switch()
        self.hold = Hold(self.store, self.clock, switch_of=lambda row: self.switch if row.batch_id else Switch())

    def pause(self, by: PausedBy, reason: str = "gateway_unreachable: no connection") -> None:
        self.store.pause(by, reason, self.clock())

    def turn(self, state: SwitchState) -> None:
        self.switch = self.switch.turned(state, "admin:jo", iso(self.clock()))

    def code(self, row: Payment) -> str:
        outcome = self.hold(row)
        return outcome.code if outcome else ""


def refused(row: Payment) -> Payment:
    sent = moved(row, Status.PROCESSING, at=NOON, actor=SENDER)
    return moved(sent, Status.PENDING, at=NOON, actor=SENDER, code="gateway_unreachable")


def test_hold_holds_nothing_while_the_breaker_runs() -> None:
    scenario = HoldScenario()
    assert [scenario.hold(row) for row in (payment(), batch_payment(), refused(payment()))] == [None, None, None]


@pytest.mark.fault(19, 86)
@pytest.mark.parametrize("by", [PausedBy.GATEWAY, PausedBy.OUTAGE])
def test_hold_holds_rest_and_batch_alike_when_the_gateway_paused(by: PausedBy) -> None:
    scenario = HoldScenario()
    scenario.pause(by)
    for row in (payment(), batch_payment(), refused(payment())):
        assert scenario.hold(row) == Outcome(
            Status.PENDING,
            "gateway_unreachable",
            "no connection; nothing was charged, and it is sent when the gateway accepts payments again",
        )


def test_hold_holds_only_batches_when_an_operator_paused() -> None:
    scenario = HoldScenario()
    scenario.pause(PausedBy.OPERATOR, "month-end")
    assert [scenario.code(row) for row in (payment(), batch_payment())] == ["", "batches_paused"]


@pytest.mark.fault(86)
@pytest.mark.parametrize("first", [PausedBy.OPERATOR, PausedBy.OUTAGE])
def test_hold_holds_rest_payments_in_an_outage_during_an_operators_pause(first: PausedBy) -> None:
    scenario = HoldScenario()
    for by in sorted((PausedBy.OPERATOR, PausedBy.OUTAGE), key=lambda by: by is not first):
        scenario.pause(by)
    assert [scenario.code(row) for row in (payment(), batch_payment("pay_2"))] == 2 * ["gateway_unreachable"]
    for probe in ("pay_1", "pay_2"):
        scenario.store.send_probe(probe)
        assert [bool(scenario.code(row)) for row in (payment(), batch_payment("pay_2"))] == [probe == "pay_2", True]
    scenario.store.resume_gateway(NOON)
    assert [scenario.code(row) for row in (payment(), batch_payment("pay_2"))] == ["", "batches_paused"]


def test_hold_lets_the_probe_through() -> None:
    scenario = HoldScenario()
    scenario.pause(PausedBy.OUTAGE)
    assert scenario.code(payment())
    scenario.store.send_probe("pay_1")
    assert not scenario.code(payment())
    assert scenario.code(payment("pay_2"))


def test_waiting_is_said_only_of_a_pending_payment_held_or_refused() -> None:
    scenario = HoldScenario()
    approved = moved(
        moved(payment(), Status.IN_REVIEW, at=NOON, actor="workflow"),
        Status.PENDING,
        at=NOON,
        actor="operator:jane",
        code=Verdict.APPROVED,
    )
    sent = moved(refused(payment()), Status.PROCESSING, at=NOON, actor=SENDER)
    assert [scenario.hold.waiting(row) for row in (payment(), approved, sent)] == [None, None, None]
    waiting = scenario.hold.waiting(refused(payment()))
    assert waiting == Waiting("gateway_unreachable", "", iso(NOON + timedelta(minutes=5)), iso(NOON + DAY))


def test_waiting_of_a_payment_that_was_never_tried_has_no_end() -> None:
    scenario = HoldScenario()
    scenario.pause(PausedBy.OUTAGE)
    waiting = scenario.hold.waiting(batch_payment())
    assert waiting
    assert (waiting.code, waiting.next_attempt_at, waiting.fails_at) == ("gateway_unreachable", "", "")


@pytest.mark.fault(89)
def test_hold_keeps_a_payment_that_waited_while_its_batch_is_paused() -> None:
    scenario, waited = HoldScenario(), replace(batch_payment(), not_before=iso(NOON))
    scenario.turn(SwitchState.PAUSED)
    for row in (waited, refused(batch_payment())):
        assert scenario.code(row) == "batch_paused"
    assert scenario.code(refused(payment())) == ""
    assert scenario.hold.waiting(batch_payment()) == Waiting(
        "batch_paused", "an operator paused its batch; it is sent when the batch is resumed"
    )
    scenario.turn(SwitchState.RUNNING)
    assert scenario.hold(waited) is None
    scenario.turn(SwitchState.CANCELED)
    assert scenario.hold(waited) == Outcome(Status.PENDING)  # it is not sent; the report function ends it


@pytest.mark.fault(89)
@pytest.mark.parametrize("state", [SwitchState.PAUSED, SwitchState.CANCELED])
def test_hold_keeps_a_payment_that_was_started_without_dispatch(state: SwitchState) -> None:
    scenario = HoldScenario()
    scenario.turn(state)
    held = scenario.hold(batch_payment())  # in its first version, as a request over REST or a restart starts it
    assert held
    assert held.status is Status.PENDING
    assert scenario.hold(payment()) is None


@pytest.mark.fault(86, 89)
def test_hold_fails_a_refused_payment_later_by_the_pause_of_its_batch() -> None:
    scenario, row = HoldScenario(), refused(batch_payment())
    scenario.turn(SwitchState.PAUSED)
    scenario.clock.wait(2 * DAY)
    assert scenario.code(row) == "batch_paused"
    scenario.turn(SwitchState.RUNNING)
    assert scenario.hold(row) is None
    waiting = scenario.hold.waiting(row)
    assert waiting
    assert waiting.fails_at[:16] == iso(NOON + 3 * DAY)[:16]
    scenario.clock.wait(DAY)
    assert scenario.code(row) == "gateway_deadline"


@pytest.mark.parametrize("status", [Status.PROCESSING, Status.UNKNOWN, Status.REQUIRES_ACTION])
def test_hold_says_nothing_about_a_payment_that_may_have_been_sent(status: Status) -> None:
    scenario = HoldScenario()
    scenario.pause(PausedBy.OUTAGE)
    row = moved(refused(payment()), Status.PROCESSING, at=NOON, actor=SENDER)
    row = row if status is Status.PROCESSING else moved(row, status, at=NOON, actor="workflow")
    scenario.clock.wait(2 * DAY)
    assert scenario.hold(row) is None


@pytest.mark.parametrize("status", [Status.PENDING, Status.PROCESSING, Status.UNKNOWN, Status.REQUIRES_ACTION])
def test_closed_environment_leaves_every_payment_as_it_is_recorded(status: Status) -> None:
    scenario = HoldScenario()
    row = payment()
    for step in {Status.PENDING: [], Status.PROCESSING: [status]}.get(status, [Status.PROCESSING, status]):
        row = moved(row, step, at=NOON, actor=SENDER)
    scenario.store.close()
    assert scenario.hold(row) == as_recorded(row)
    scenario.store.open("operator:test", NOON)
    assert scenario.hold(row) is None  # that it is closed is never remembered


@pytest.mark.fault(86)
@pytest.mark.parametrize("paused", [True, False])
def test_hold_fails_a_refused_payment_at_its_deadline_only(paused: bool) -> None:
    scenario = HoldScenario()
    if paused:
        scenario.pause(PausedBy.OUTAGE)
    scenario.clock.wait(DAY - timedelta(minutes=1))
    assert scenario.code(refused(payment())) == ("gateway_unreachable" if paused else "")
    scenario.clock.wait(timedelta(minutes=1))
    assert scenario.hold(refused(payment())) == Outcome(
        Status.FAILED,
        "gateway_deadline",
        "the gateway was out of reach since 2026-11-21T12:00:00.000Z, and its time is over; nothing was charged",
    )
    assert scenario.code(payment()) == ("gateway_unreachable" if paused else "")  # it was never refused


def test_hold_reads_the_breaker_once_in_some_seconds_until_it_pauses() -> None:
    scenario = HoldScenario()
    assert not scenario.code(payment())
    scenario.pause(PausedBy.OUTAGE)
    assert not scenario.code(payment())
    assert scenario.store.reads == 1
    scenario.clock.wait(REMEMBERED_FOR)
    assert [bool(scenario.code(payment())) for _ in range(3)] == [True, True, True]
    assert scenario.store.reads == 4
