"""The batch breaker as the charge function uses it (FAULTS 19)."""

from datetime import timedelta

import pytest

from fakes.batch_breaker import MemoryBreakerStore
from fakes.customers import MemoryCustomerStore
from fakes.gateway import Fault, FaultKind, MemoryGateway
from fakes.payments import MemoryPaymentStore
from fakes.tokens import MemoryTokenStore
from payments.application.batch_breaker import REFUSALS_UNTIL_PAUSE, REFUSALS_WINDOW, BatchBreaker
from payments.application.charge import Charging
from payments.application.guarded_gateway import GuardedGateway
from payments.application.validate import PaymentMethods
from payments.domain.batch_breaker import PausedBy
from payments.domain.errors import Misconfigured
from payments.domain.statuses import Status
from tests.unit.builders import NOON, FixedClock, payment

REFUSED = Misconfigured("gateway_key_refused", "the gateway refuses our key")


def breaker_scenario() -> tuple[BatchBreaker, MemoryBreakerStore, FixedClock]:
    store, clock = MemoryBreakerStore(), FixedClock()
    return BatchBreaker(store, clock), store, clock


@pytest.mark.fault(19)
def test_breaker_pauses_at_the_third_refusal_and_reports_it_once() -> None:
    breaker, store, _ = breaker_scenario()
    assert [breaker.refused(REFUSED) for _ in range(10)] == [False, False, True] + 7 * [False]
    assert store.state().paused_by == PausedBy.GATEWAY
    assert store.state().reason == "gateway_key_refused: the gateway refuses our key"


@pytest.mark.fault(19)
def test_breaker_does_not_pause_after_fewer_refusals() -> None:
    breaker, store, _ = breaker_scenario()
    for _ in range(REFUSALS_UNTIL_PAUSE - 1):
        breaker.refused(REFUSED)
    assert not store.state().paused


@pytest.mark.fault(19)
def test_breaker_forgets_refusals_of_a_rotated_key_after_its_window() -> None:
    breaker, store, clock = breaker_scenario()
    for _ in range(4):
        breaker.refused(REFUSED)
        breaker.refused(REFUSED)
        clock.wait(REFUSALS_WINDOW)
    assert not store.state().paused


@pytest.mark.fault(19)
def test_breaker_fires_the_alarm_again_when_paused_after_a_resume() -> None:
    breaker, store, _ = breaker_scenario()
    for _ in range(5):
        breaker.refused(REFUSED)
    store.resume()
    assert [breaker.refused(REFUSED) for _ in range(4)] == [False, False, True, False]


def test_breaker_paused_by_an_operator_stays_theirs_and_fires_no_alarm() -> None:
    breaker, store, _ = breaker_scenario()
    store.pause(PausedBy.OPERATOR, "maintenance", NOON - timedelta(hours=1))
    assert not any(breaker.refused(REFUSED) for _ in range(5))
    assert store.state().paused_by == PausedBy.OPERATOR


@pytest.mark.fault(19)
def test_charges_with_a_wrong_key_pause_batches_once_and_fail_no_payment() -> None:
    breaker, store, clock = breaker_scenario()
    gateway, payments = MemoryGateway(clock), MemoryPaymentStore()
    gateway.fail(Fault(FaultKind.UNAUTHORIZED, times=1000))
    alarms: list[bool] = []
    guarded = GuardedGateway(gateway, lambda error: alarms.append(breaker.refused(error)))
    charging = Charging(guarded, PaymentMethods(MemoryCustomerStore(), "", MemoryTokenStore(), clock), payments, clock)
    for number in range(20):
        payments.create(payment(f"pay_{number}"))
        with pytest.raises(Misconfigured):
            charging.charge(payments.rows[f"pay_{number}"])
    assert store.state().paused
    assert (len(alarms), sum(alarms)) == (20, 1)
    assert {row.status for row in payments.rows.values()} == {Status.PENDING}
