"""Tickets: a REST payment above the gateway's rate holds one slot far ahead, and returns for it once."""

from datetime import datetime, timedelta

import pytest

from fakes.customers import MemoryCustomerStore
from fakes.field_encryptor import MemoryFieldEncryptor
from fakes.gateway import Fault, FaultKind, MemoryGateway
from fakes.payments import MemoryPaymentStore
from fakes.slots import MemorySlotStore
from fakes.tokens import MemoryTokenStore
from payments.application.charge import Charging
from payments.application.gateway_rate_limiter import (
    LONGEST_SLEEP_SECONDS,
    LONGEST_TICKET_SECONDS,
    READY_SECONDS,
    GatewayRateLimiter,
    Ticket,
)
from payments.application.steps import HELD_FOR, SLOT_WAIT_SECONDS, State, charge_step
from payments.application.validate import PaymentMethods
from payments.domain.clock import parse_iso
from payments.domain.errors import NotSent
from payments.domain.payment import Payment, accepted
from payments.domain.recovery_timeouts import RecoveryTimeouts
from payments.domain.statuses import Status
from tests.unit.builders import NOON, request

SLOT = timedelta(milliseconds=50)
LOST_CARD = "pm_card_visa_chargeDeclinedLostCard"


class Counting(MemoryPaymentStore):
    """Counts the writes."""

    def __init__(self) -> None:
        super().__init__()
        self.writes = 0

    def save(self, payment: Payment) -> None:
        """Count, then save."""
        self.writes += 1
        super().save(payment)

    def postpone(self, payment_id: str, until: datetime) -> None:
        """Count, then postpone."""
        self.writes += 1
        super().postpone(payment_id, until)


class Overload:
    """A backlog of slots, and payments that come on top. Only waiting advances the clock."""

    def __init__(self, backlog_seconds: float, source: str = "rest", method: str = "pm_card_visa") -> None:
        self.now = NOON
        self.longest_wait_seconds = 0
        self.store, self.encryptor, self.slots = Counting(), MemoryFieldEncryptor(), MemorySlotStore()
        self.gateway = MemoryGateway(self.clock)
        self.limiter = GatewayRateLimiter(self.slots, SLOT, self.clock, self.sleep)
        self.slots._next = int(NOON.timestamp() / SLOT.total_seconds()) + int(backlog_seconds / SLOT.total_seconds())
        self.methods = PaymentMethods(MemoryCustomerStore(), "", MemoryTokenStore(), self.clock)
        self.store.rows["pay_1"] = accepted(request(payment_method=method), at=NOON, source=source)

    def clock(self) -> datetime:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    def charge(self, state: State | None = None) -> State:
        return charge_step(
            state or {"payment_id": "pay_1"},
            charging=Charging(self.gateway, self.methods, self.store, self.clock),
            encryptor=self.encryptor,
            rate_limiter=self.limiter,
            jitter=lambda most: 0,
            longest_wait_seconds=self.longest_wait_seconds,
        )

    def wait(self, state: State, late_seconds: float = 0.0) -> State:
        """Wait as the workflow does, and charge again."""
        self.sleep(state["wait_seconds"] + late_seconds)
        return self.charge(state)

    def ticket_begins(self, state: State) -> datetime:
        return self.limiter.begins(Ticket(**state["ticket"]))

    @property
    def row(self) -> Payment:
        return self.store.rows["pay_1"]


@pytest.mark.fault(65)
def test_rest_payment_above_the_rate_waits_once_for_its_ticket() -> None:
    load = Overload(300)
    state = load.charge()
    assert state["wait_seconds"] == int(300 - READY_SECONDS)
    assert (load.store.writes, load.row.version) == (1, 1)  # the ticket's time, and no intent
    assert load.wait(state)["outcome"]["status"] == Status.SUCCEEDED
    assert load.now == load.ticket_begins(state)  # it slept for the rest, and no second more


@pytest.mark.fault(65)
def test_waiting_payment_costs_no_data_key_before_its_slot() -> None:
    load = Overload(300)
    load.limiter.take_ticket()  # this function has seen the backlog
    state = load.charge()
    assert load.encryptor.calls == 0
    load.wait(state)
    assert load.encryptor.calls == 1


@pytest.mark.fault(65)
def test_recovery_leaves_a_payment_alone_until_after_its_ticket() -> None:
    load = Overload(1_200)
    state = load.charge()
    begins = load.ticket_begins(state)
    assert not RecoveryTimeouts().is_due(load.row, begins)
    assert RecoveryTimeouts().is_due(load.row, begins + HELD_FOR)


@pytest.mark.fault(65)
def test_missed_ticket_is_replaced_and_never_used_late() -> None:
    load = Overload(300)
    state = load.charge()
    load.slots._next += 10_000  # others came after it
    again = load.wait(state, late_seconds=READY_SECONDS + 1)
    assert again["ticket"]["slot"] > state["ticket"]["slot"]
    assert load.gateway.captured == []
    assert load.wait(again)["outcome"]["status"] == Status.SUCCEEDED
    assert load.now == load.ticket_begins(again)


@pytest.mark.fault(65)
def test_missed_ticket_when_the_load_is_over_then_the_next_free_slot() -> None:
    load = Overload(30)
    state = load.charge()
    assert load.wait(state, late_seconds=60)["outcome"]["status"] == Status.SUCCEEDED
    assert load.now - load.ticket_begins(state) < timedelta(seconds=60)


@pytest.mark.fault(65)
def test_ticket_missed_while_the_key_is_read_sends_nothing_late() -> None:
    load = Overload(300)
    state = load.charge()
    load.store.save = lambda _: load.sleep(5)  # type: ignore[method-assign,assignment]
    load.slots._next += 10_000
    again = load.wait(state)
    assert again["ticket"]["requests"] == 2  # the intent is written: the payment is queried first
    assert load.gateway.captured == []


@pytest.mark.fault(65)
def test_ticket_of_a_payment_that_must_wait_longer_is_not_used() -> None:
    load = Overload(300)
    state = load.charge()
    load.store.postpone("pay_1", NOON + timedelta(seconds=900))  # the gateway asked another execution to wait
    again = load.wait(state)
    assert "ticket" not in again
    assert load.now + timedelta(seconds=again["wait_seconds"]) >= parse_iso(load.row.not_before)
    assert load.gateway.captured == []


@pytest.mark.fault(65)
def test_refused_ticket_is_replaced_after_the_wait() -> None:
    load = Overload(300)
    state = load.charge()
    load.gateway.fail(Fault(FaultKind.RATE_LIMITED, retry_after_seconds=400))
    again = load.wait(state)
    assert "ticket" not in again
    assert again["wait_seconds"] >= 400
    assert load.wait(again)["outcome"]["status"] == Status.SUCCEEDED


@pytest.mark.fault(65)
def test_declined_card_above_the_rate_ends_in_three_returns() -> None:
    """The charge, and then the query and the cancel in one ticket of two slots."""
    load, state, returns = Overload(300, method=LOST_CARD), None, 0
    while state is None or "wait_seconds" in state:
        load.slots._next += 10_000  # the load goes on
        state = load.wait(state) if state else load.charge()
        returns += 1
    assert (state["outcome"]["status"], state["outcome"]["code"]) == (Status.DECLINED, "lost_card")
    assert returns == 3


@pytest.mark.fault(65)
def test_second_execution_waits_until_the_holder_of_the_ticket_is_done() -> None:
    load = Overload(300)
    first, second = load.charge(), load.charge()
    assert "ticket" not in second
    assert second["wait_seconds"] > first["wait_seconds"]
    load.wait(first)
    load.sleep(second["wait_seconds"])
    assert len(load.gateway.captured) == 1


def test_batch_payment_gets_no_ticket_and_waits_longer_each_time() -> None:
    load = Overload(3_000, source="batch")
    state, waited = load.charge(), []
    taken = load.slots.next_slot()
    for _ in range(4):
        waited.append(state["wait_seconds"])
        state = load.wait(state)
    assert waited == [SLOT_WAIT_SECONDS * 2**n for n in range(4)]
    assert load.slots.next_slot() == taken


def test_rest_payment_beyond_the_longest_ticket_takes_no_slot() -> None:
    load = Overload(LONGEST_TICKET_SECONDS + 60)
    state = load.charge()
    assert "ticket" not in state
    assert state["wait_seconds"] == SLOT_WAIT_SECONDS


def test_near_slot_needs_no_ticket() -> None:
    load = Overload(LONGEST_SLEEP_SECONDS - 1)
    assert load.charge()["outcome"]["status"] == Status.SUCCEEDED
    assert load.row.not_before == ""


def test_ticket_of_another_slot_length_is_replaced() -> None:
    """After a deployment with another rate its number means another time."""
    load = Overload(300)
    state = load.charge()
    load.limiter = GatewayRateLimiter(MemorySlotStore(), 2 * SLOT, load.clock, load.sleep)
    again = load.wait(state)
    assert "ticket" not in again
    assert load.gateway.captured == []


@pytest.mark.fault(65)
def test_retry_after_a_failed_request_does_not_use_its_ticket_again() -> None:
    """The workflow repeats a failed step with the same input, possibly within the slot."""
    load = Overload(300)
    state = load.charge()
    load.gateway.fail(Fault(FaultKind.NOT_SENT))
    with pytest.raises(NotSent):
        load.wait(state)
    load.slots._next += 10_000
    again = load.charge(state)
    assert again["ticket"]["slot"] > state["ticket"]["slot"]
    assert load.gateway.captured == []


# Express: an execution ends after five minutes -----------------------------------------------------------------------


def express(backlog_seconds: float) -> Overload:
    load = Overload(backlog_seconds)
    load.longest_wait_seconds = 120
    return load


@pytest.mark.fault(67)
def test_express_execution_waits_for_a_ticket_within_its_time() -> None:
    load = express(100)
    state = load.charge()
    assert state["wait_seconds"] == state["waited"] == 98
    assert load.wait(state)["outcome"]["status"] == Status.SUCCEEDED


@pytest.mark.fault(67)
def test_express_execution_leaves_a_payment_that_must_wait_longer() -> None:
    """All of its waits together are shorter than its time, and it takes no ticket that it cannot use."""
    load = express(3_000)
    taken, state, waited = load.slots.next_slot(), load.charge(), 0
    while "wait_seconds" in state:
        waited += state["wait_seconds"]
        state = load.wait(state)
    assert state == {"payment_id": "pay_1", "left": True}
    assert 0 < waited <= 120
    assert load.slots.next_slot() == taken
    assert parse_iso(load.row.not_before) > load.now
    assert not RecoveryTimeouts().is_due(load.row, load.now)
    assert RecoveryTimeouts().is_due(load.row, parse_iso(load.row.not_before) + timedelta(minutes=5))


@pytest.mark.fault(67)
def test_express_execution_leaves_a_payment_that_the_gateway_delays() -> None:
    load = express(0)
    load.gateway.fail(Fault(FaultKind.RATE_LIMITED, retry_after_seconds=600))
    assert load.charge() == {"payment_id": "pay_1", "left": True}
    assert parse_iso(load.row.not_before) >= NOON + timedelta(seconds=600)
    assert load.charge() == {"payment_id": "pay_1", "left": True}  # another execution
