"""Dispatch: one start a payment, paced; what cannot be dispatched says why (FAULTS 25 and 27)."""

from datetime import UTC, datetime

import pytest

from payments.batch.dispatch import Dispatcher, MalformedMessage
from payments.money import Money
from payments.payment import PaymentRequest, accepted, moved
from payments.statuses import Status
from payments.stores.memory import MemoryPaymentStore
from payments.workflow import MemoryWorkflow

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


class Time:
    """A clock that only `sleep` and `work` move."""

    def __init__(self) -> None:
        self.seconds = 100.0
        self.slept_seconds: list[float] = []

    def monotonic(self) -> float:
        return self.seconds

    def sleep(self, seconds: float) -> None:
        self.slept_seconds.append(seconds)
        self.seconds += seconds


class SlowWorkflow(MemoryWorkflow):
    """A start that takes `seconds`."""

    def __init__(self, time: Time, seconds: float) -> None:
        super().__init__()
        self._time = time
        self._seconds = seconds

    def start(self, payment_id: str) -> None:
        """See the port."""
        self._time.seconds += self._seconds
        super().start(payment_id)


def dispatcher(start_seconds: float = 0, pace_seconds: float = 0.5) -> tuple[Dispatcher, SlowWorkflow, Time]:
    time = Time()
    workflow = SlowWorkflow(time, start_seconds)
    store = MemoryPaymentStore()
    for name in ("p1", "p2"):
        store.create(accepted(PaymentRequest(name, Money(100, "USD")), at=NOW, source="batch"))
    return Dispatcher(store, workflow, pace_seconds, time.monotonic, time.sleep), workflow, time


def test_dispatch_when_the_payment_is_pending_then_its_workflow_starts() -> None:
    dispatch, workflow, _ = dispatcher()
    assert dispatch.dispatch('{"payment_id": "p1", "batch_id": "b", "line": 2}') == "p1"
    assert workflow.started == ["p1"]


def test_dispatch_when_sqs_delivers_twice_then_one_execution() -> None:
    dispatch, workflow, _ = dispatcher()
    dispatch.dispatch('{"payment_id": "p1"}')
    dispatch.dispatch('{"payment_id": "p1"}')
    assert workflow.started == ["p1"]


def test_dispatch_when_the_payment_has_an_outcome_then_it_is_not_started_again() -> None:
    dispatch, workflow, _ = dispatcher()
    payment = dispatch.payments.get("p1")
    assert payment
    dispatch.payments.save(moved(payment, Status.REJECTED, at=NOW, actor="test"))
    assert dispatch.dispatch('{"payment_id": "p1"}') == "p1"
    assert workflow.started == []


@pytest.mark.parametrize(("start_seconds", "sleeps_seconds"), [(0, 0.5), (0.25, 0.25), (0.75, 0)])
def test_dispatch_when_it_is_faster_than_the_pace_then_it_sleeps_the_rest(
    start_seconds: float, sleeps_seconds: float
) -> None:
    dispatch, _, time = dispatcher(start_seconds)
    dispatch.dispatch('{"payment_id": "p1"}')
    assert time.slept_seconds == [sleeps_seconds]


def test_dispatch_when_many_come_then_the_rate_stays_at_the_pace() -> None:
    dispatch, _, time = dispatcher(start_seconds=0.125, pace_seconds=0.25)
    for _ in range(8):
        dispatch.dispatch('{"payment_id": "p2"}')
    assert time.seconds - 100 == 8 * 0.25


@pytest.mark.parametrize(
    "body", ["", "no json", "[]", "7", "null", "{}", '{"payment_id": 7}', '{"payment_id": "a b"}', "[" * 100_000]
)
def test_dispatch_when_the_message_is_malformed_then_it_fails_without_repeating_it(body: str) -> None:
    dispatch, workflow, _ = dispatcher()
    with pytest.raises(MalformedMessage) as refused:
        dispatch.dispatch(body)
    assert "a b" not in str(refused.value)
    assert workflow.started == []


def test_dispatch_when_the_payment_is_not_stored_then_it_fails_naming_it() -> None:
    dispatch, workflow, _ = dispatcher()
    with pytest.raises(LookupError, match="p404"):
        dispatch.dispatch('{"payment_id": "p404"}')
    assert workflow.started == []
