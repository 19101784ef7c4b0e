"""The batch breaker as the charge function uses it."""

from collections.abc import Callable
from datetime import timedelta
from functools import partial

import pytest

from fakes.batch_breaker import MemoryBreakerStore
from fakes.customers import MemoryCustomerStore
from fakes.gateway import Fault, FaultKind, MemoryGateway
from fakes.payments import MemoryPaymentStore
from fakes.tokens import MemoryTokenStore
from payments.application.batch_breaker import PAYMENTS_UNTIL_PAUSE, REFUSALS_WINDOW, BatchBreaker
from payments.application.charge import Charging
from payments.application.guarded_gateway import GuardedGateway
from payments.application.record import record
from payments.application.validate import PaymentMethods
from payments.domain.batch_breaker import BreakerState, PausedBy
from payments.domain.errors import InvalidPayment, Misconfigured, NotSent, OutcomeUnknown, PaymentError, RateLimited
from payments.domain.outcome import answered
from payments.domain.statuses import Status
from payments.ports.payment_gateway import ChargeRequest, GatewayCharge, PaymentGateway
from tests.unit.builders import NOON, FixedClock, payment

REFUSED = Misconfigured("gateway_key_refused", "the gateway refuses our key")


def breaker_scenario() -> tuple[BatchBreaker, MemoryBreakerStore, FixedClock]:
    store, clock = MemoryBreakerStore(), FixedClock()
    return BatchBreaker(store, clock), store, clock


@pytest.mark.fault(19)
def test_breaker_pauses_at_the_third_payment_and_reports_it_once() -> None:
    breaker, store, _ = breaker_scenario()
    assert [breaker.refused(f"pay_{number}", REFUSED) for number in range(10)] == [False, False, True] + 7 * [False]
    assert store.state().paused_by == PausedBy.GATEWAY
    assert store.state().reason == "gateway_key_refused: the gateway refuses our key"


@pytest.mark.fault(86)
def test_breaker_pauses_in_an_outage_during_an_operators_pause() -> None:
    breaker, store, _ = breaker_scenario()
    store.pause(PausedBy.OPERATOR, "month-end", NOON)
    for number in range(30):
        breaker.refused(f"pay_{number}", NotSent("gateway_unreachable", "no connection"))
    assert (store.state().by_gateway, store.state().by_operator) == (True, True)


@pytest.mark.fault(19)
def test_breaker_does_not_pause_after_fewer_refusals() -> None:
    breaker, store, _ = breaker_scenario()
    for number in range(PAYMENTS_UNTIL_PAUSE - 1):
        breaker.refused(f"pay_{number}", REFUSED)
    assert not store.state().paused


@pytest.mark.fault(53)
def test_breaker_does_not_pause_for_many_attempts_of_few_payments() -> None:
    breaker, store, _ = breaker_scenario()
    for number in range(50):
        assert not breaker.refused(f"pay_{number % (PAYMENTS_UNTIL_PAUSE - 1)}", REFUSED)
    assert not store.state().paused


@pytest.mark.fault(53)
def test_breaker_counts_no_refusal_that_names_no_payment() -> None:
    breaker, store, _ = breaker_scenario()
    assert not any(breaker.refused("", REFUSED) for _ in range(10))
    assert store.state() == BreakerState()


@pytest.mark.fault(19)
def test_breaker_forgets_refusals_of_a_rotated_key_after_its_window() -> None:
    breaker, store, clock = breaker_scenario()
    for number in range(4):
        breaker.refused(f"pay_{number}", REFUSED)
        breaker.refused(f"pay_{number + 1}", REFUSED)
        clock.wait(REFUSALS_WINDOW)
    assert not store.state().paused


@pytest.mark.fault(19)
def test_breaker_fires_the_alarm_again_when_paused_after_a_resume() -> None:
    breaker, store, _ = breaker_scenario()
    for number in range(5):
        breaker.refused(f"pay_{number}", REFUSED)
    store.resume(NOON)
    assert [breaker.refused(f"pay_{number}", REFUSED) for number in range(4)] == [False, False, True, False]


def test_breaker_paused_by_an_operator_stays_theirs_beside_a_refused_key() -> None:
    breaker, store, _ = breaker_scenario()
    store.pause(PausedBy.OPERATOR, "maintenance", NOON - timedelta(hours=1))
    assert [breaker.refused(f"pay_{number}", REFUSED) for number in range(5)].count(True) == 1
    assert store.state().paused_by == PausedBy.GATEWAY
    assert store.state().operator_reason == "maintenance"


OUTAGES = [
    NotSent("gateway_unreachable", "no connection"),
    OutcomeUnknown("gateway_error", "the gateway answered 503", outage=True),
    RateLimited("rate_limit", "the gateway asked us to slow down", outage=True),
]


@pytest.mark.fault(86)
@pytest.mark.parametrize("error", OUTAGES)
def test_breaker_pauses_when_three_payments_meet_an_outage(error: PaymentError) -> None:
    breaker, store, _ = breaker_scenario()
    assert [breaker.refused(f"pay_{number}", error) for number in range(6)] == [False] * 4 + [True, False]
    assert (store.state().paused_by, store.state().by_gateway) == (PausedBy.OUTAGE, True)
    assert store.state().reason == f"{error.code}: {error.message}"


@pytest.mark.fault(86)
@pytest.mark.parametrize("error", OUTAGES)
def test_gateway_that_fails_now_and_then_does_not_pause_the_breaker(error: PaymentError) -> None:
    breaker, store, _ = breaker_scenario()
    for number in range(100):
        breaker.refused(f"pay_{number}", error)
        breaker.refused(f"pay_{number}", error)
        breaker.answered()
    assert store.state() == BreakerState()
    assert not breaker.out_of_reach


@pytest.mark.fault(86)
def test_outage_that_one_payment_meets_is_shown_and_pauses_nothing() -> None:
    breaker, store, _ = breaker_scenario()
    assert not any(breaker.refused("pay_1", OUTAGES[0]) for _ in range(9))
    assert breaker.out_of_reach
    assert not store.state().paused


def charging_at(
    gateway: PaymentGateway,
    payments: MemoryPaymentStore,
    clock: FixedClock,
    refused: Callable[[str, PaymentError], object],
) -> Charging:
    methods = PaymentMethods(MemoryCustomerStore(), "", MemoryTokenStore(), clock)
    return Charging(GuardedGateway(gateway, refused), methods, payments, clock)


@pytest.mark.fault(19)
def test_charges_with_a_wrong_key_pause_batches_once_and_fail_no_payment() -> None:
    breaker, store, clock = breaker_scenario()
    gateway, payments = MemoryGateway(clock), MemoryPaymentStore()
    gateway.fail(Fault(FaultKind.UNAUTHORIZED, times=1000))
    alarms: list[bool] = []
    charging = charging_at(gateway, payments, clock, lambda *refusal: alarms.append(breaker.refused(*refusal)))
    for number in range(20):
        payments.create(payment(f"pay_{number}"))
        with pytest.raises(Misconfigured):
            charging.charge(payments.rows[f"pay_{number}"])
    assert store.state().paused
    assert (len(alarms), sum(alarms)) == (20, 1)
    assert {row.status for row in payments.rows.values()} == {Status.PENDING}


@pytest.mark.fault(52)
def test_refused_saved_cards_are_rejected_alone_and_the_batch_goes_on() -> None:
    breaker, store, clock = breaker_scenario()

    class SavedCards(MemoryGateway):
        def charge(self, request: ChargeRequest) -> GatewayCharge:
            if request.payment_method == "pm_saved":
                raise InvalidPayment("customer_mismatch", "the payment method belongs to a customer at Stripe")
            return super().charge(request)

    payments = MemoryPaymentStore()
    charging = charging_at(SavedCards(clock), payments, clock, breaker.refused)
    methods = [*["pm_saved"] * 5, "pm_card_visa"]
    for number, method in enumerate(methods):
        payments.create(payment(f"pay_{number}", method))
        outcome = answered(partial(charging.charge, payments.rows[f"pay_{number}"]))
        assert outcome
        record(f"pay_{number}", outcome, store=payments, clock=clock)
    assert [row.status for row in payments.rows.values()] == [Status.REJECTED] * 5 + [Status.SUCCEEDED]
    assert store.state() == BreakerState()
