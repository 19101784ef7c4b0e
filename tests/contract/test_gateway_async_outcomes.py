"""A charge after the gateway's first answer, on the fake and on Stripe's adapter: found, authenticated, cancelled,
settled, refunded."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest

from local.fake_stripe.server import in_process
from payments.adapters.stripe.gateway import StripeGateway
from payments.domain.errors import (
    AttemptDeclined,
    Declined,
    Misconfigured,
    NotSent,
    OutcomeUnknown,
    PaymentError,
    RateLimited,
    RequiresAction,
)
from payments.domain.money import Money
from payments.domain.statuses import Status
from payments.ports.payment_gateway import GatewayCharge
from tests.contract.gateway_benches import SECRET_KEY, USD, Bench, bench_of, error_of, request_for

STEP_UP = request_for(method="pm_card_threeDSecure2Required")
SETTLES_LATER = replace(request_for(), metadata={"settles_later": "yes", "stand_in": "settles_later"})
LAG = timedelta(minutes=1)


@pytest.fixture(params=["memory", "stripe"])
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    with bench_of(request.param) as bench:
        yield bench


@pytest.fixture(params=["memory", "stripe"])
def lagging(request: pytest.FixtureRequest) -> Iterator[Bench]:
    """A gateway whose search lags by a minute."""
    with bench_of(request.param, search_lag=LAG) as bench:
        yield bench


def waiting(bench: Bench) -> str:
    """The reference of a charge that requires authentication."""
    return error_of(lambda: bench.gateway.charge(STEP_UP)).gateway_reference


def found(bench: Bench, reference: str = "") -> GatewayCharge | PaymentError | None:
    """What the gateway reports about the charge."""
    try:
        return bench.gateway.find("pay-1", reference)
    except PaymentError as error:
        return error


def assert_canceled(bench: Bench, reference: str) -> None:
    for known in ("", reference):
        outcome = found(bench, known)
        assert isinstance(outcome, Declined)
        assert (outcome.code, outcome.gateway_reference) == ("canceled", reference)
    assert bench.captured() == []


# Found ---------------------------------------------------------------------------------------------------------------


def test_find_under_search_lag_sees_a_reference_at_once_and_the_id_later(lagging: Bench) -> None:
    charged = lagging.gateway.charge(request_for())
    assert found(lagging) is None
    assert found(lagging, charged.reference) == charged
    lagging.clock.advance(seconds=LAG.total_seconds())
    assert found(lagging) == charged


@pytest.mark.fault(10)
def test_charge_when_the_search_lags_then_the_key_keeps_it_at_one_charge(lagging: Bench) -> None:
    lagging.fault("answer_lost")
    error_of(lambda: lagging.gateway.charge(request_for()))
    assert found(lagging) is None
    lagging.gateway.charge(request_for())
    assert len(lagging.captured()) == 1


def test_find_when_the_card_was_declined_then_a_reference_tells_so_too(lagging: Bench) -> None:
    charged = error_of(lambda: lagging.gateway.charge(request_for(method="pm_card_visa_chargeDeclinedLostCard")))
    outcome = found(lagging, charged.gateway_reference)
    assert isinstance(outcome, AttemptDeclined)
    assert (outcome.code, outcome.gateway_reference) == (charged.code, charged.gateway_reference)


@pytest.mark.fault(53)
def test_find_of_an_unknown_reference_never_says_nothing_was_charged(bench: Bench) -> None:
    bench.gateway.charge(request_for())
    error = found(bench, "pi_of_another_account")
    assert isinstance(error, OutcomeUnknown)
    assert error.code == "charge_not_found"


# Authentication ------------------------------------------------------------------------------------------------------


@pytest.mark.fault(17)
def test_find_when_the_customer_authenticated_then_succeeded(bench: Bench) -> None:
    reference = waiting(bench)
    assert bench.captured() == []
    bench.finish(reference, well=True)
    assert found(bench) == found(bench, reference) == GatewayCharge(reference, Status.SUCCEEDED, USD)
    assert bench.captured() == [("pay-1", USD)]


@pytest.mark.fault(17)
def test_find_when_authentication_failed_then_declined(bench: Bench) -> None:
    reference = waiting(bench)
    bench.finish(reference, well=False)
    outcome = found(bench, reference)
    assert isinstance(outcome, AttemptDeclined)
    assert outcome.code == "payment_intent_authentication_failure"
    assert bench.captured() == []


@pytest.mark.fault(17)
def test_after_authentication_charge_replays_and_find_sees_the_new_state(bench: Bench) -> None:
    reference = waiting(bench)
    bench.finish(reference, well=True)
    assert isinstance(error_of(lambda: bench.gateway.charge(STEP_UP)), RequiresAction)
    charge = found(bench)
    assert isinstance(charge, GatewayCharge)
    assert charge.status is Status.SUCCEEDED
    assert len(bench.captured()) == 1


# Declined, and still to be paid --------------------------------------------------------------------------------------

LOST_CARD = request_for(method="pm_card_visa_chargeDeclinedLostCard")


def declined(bench: Bench) -> str:
    """The reference of a charge whose card was declined."""
    error = error_of(lambda: bench.gateway.charge(LOST_CARD))
    assert (type(error), error.code) == (AttemptDeclined, "lost_card")
    return error.gateway_reference


@pytest.mark.fault(58)
def test_find_when_another_card_paid_a_declined_charge_then_succeeded(bench: Bench) -> None:
    reference = declined(bench)
    assert bench.pay_again(reference)
    assert found(bench) == found(bench, reference) == GatewayCharge(reference, Status.SUCCEEDED, USD)
    assert bench.captured() == [("pay-1", USD)]


@pytest.mark.fault(58)
def test_cancel_of_a_declined_charge_keeps_the_code_and_ends_it(bench: Bench) -> None:
    reference = declined(bench)
    assert bench.gateway.cancel(reference)
    assert not bench.pay_again(reference)
    for known in ("", reference):
        outcome = found(bench, known)
        assert isinstance(outcome, Declined)
        assert (outcome.code, outcome.gateway_reference) == ("lost_card", reference)
    assert bench.captured() == []


@pytest.mark.fault(58)
def test_charge_repeated_after_the_cancel_replays_the_old_decline(bench: Bench) -> None:
    """The replayed intent is the one of before: only a cancel or a query shows that it has ended."""
    reference = declined(bench)
    bench.gateway.cancel(reference)
    assert declined(bench) == reference
    assert bench.gateway.cancel(reference) is False
    assert isinstance(found(bench, reference), Declined)


@pytest.mark.fault(58)
def test_find_after_an_update_still_knows_the_decline_of_the_card(bench: Bench) -> None:
    """The update removes the intent's last error."""
    reference = declined(bench)
    bench.update(reference)
    outcome = found(bench, reference)
    assert isinstance(outcome, AttemptDeclined)
    assert outcome.code == "lost_card"


@pytest.mark.fault(58)
def test_find_without_an_error_and_without_a_charge_is_no_decline(bench: Bench) -> None:
    reference = waiting(bench)
    bench.finish(reference, well=False)
    bench.update(reference)
    assert isinstance(found(bench, reference), RequiresAction)
    assert bench.pay_again(reference)
    assert found(bench, reference) == GatewayCharge(reference, Status.SUCCEEDED, USD)


# Cancelled -----------------------------------------------------------------------------------------------------------


def test_cancel_of_a_charge_awaiting_its_customer_is_final(bench: Bench) -> None:
    reference = waiting(bench)
    bench.gateway.cancel(reference)
    assert_canceled(bench, reference)
    bench.finish(reference, well=True)
    assert_canceled(bench, reference)


def test_cancel_when_authentication_failed_then_no_other_card_can_pay(bench: Bench) -> None:
    reference = waiting(bench)
    bench.finish(reference, well=False)
    bench.gateway.cancel(reference)
    assert_canceled(bench, reference)


def test_cancel_when_repeated_then_quiet(bench: Bench) -> None:
    reference = waiting(bench)
    for _ in range(3):
        bench.gateway.cancel(reference)
    assert_canceled(bench, reference)


def test_cancel_when_the_charge_is_captured_then_it_stays_captured(bench: Bench) -> None:
    charged = bench.gateway.charge(request_for())
    assert bench.gateway.cancel(charged.reference) is False
    assert found(bench) == charged
    assert len(bench.captured()) == 1


def test_cancel_after_the_customer_paid_leaves_it_captured(bench: Bench) -> None:
    reference = waiting(bench)
    bench.finish(reference, well=True)
    bench.gateway.cancel(reference)
    assert found(bench, reference) == GatewayCharge(reference, Status.SUCCEEDED, USD)


@pytest.mark.parametrize(
    ("kind", "executes", "expected"),
    [
        ("rate_limited", True, RateLimited),
        ("unauthorized", True, Misconfigured),
        ("server_error", True, OutcomeUnknown),
        ("server_error", False, OutcomeUnknown),
        ("answer_lost", True, OutcomeUnknown),
        ("answer_lost", False, OutcomeUnknown),
    ],
)
def test_cancel_reports_gateway_failures_and_cancels_when_repeated(
    bench: Bench, kind: str, executes: bool, expected: type[PaymentError]
) -> None:
    reference = waiting(bench)
    bench.fault(kind, call="cancel", executes=executes)
    assert type(error_of(lambda: bench.gateway.cancel(reference))) is expected
    done = kind in ("server_error", "answer_lost") and executes
    assert isinstance(found(bench, reference), Declined if done else RequiresAction)
    bench.gateway.cancel(reference)
    assert_canceled(bench, reference)


@pytest.mark.fault(53)
def test_cancel_when_the_reference_is_unknown_then_it_says_so(bench: Bench) -> None:
    error = error_of(lambda: bench.gateway.cancel("pi_of_another_account"))
    assert (type(error), error.code) == (OutcomeUnknown, "charge_not_found")


def test_stripe_cancel_when_no_connection_is_made_then_is_not_sent() -> None:
    gateway = StripeGateway(lambda: SECRET_KEY, base_url="http://127.0.0.1:1", connect_timeout_seconds=2)
    assert isinstance(error_of(lambda: gateway.cancel("pi_1")), NotSent)


# Settled later -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("well", [True, False])
def test_find_when_a_charge_settles_later_then_processing_until_it_does(bench: Bench, well: bool) -> None:
    settling = bench.gateway.charge(SETTLES_LATER)
    assert settling.status is Status.PROCESSING
    assert found(bench) == settling
    assert bench.captured() == []
    bench.finish(settling.reference, well=well)
    outcome = found(bench, settling.reference)
    assert outcome == replace(settling, status=Status.SUCCEEDED) if well else isinstance(outcome, AttemptDeclined)
    assert len(bench.captured()) == int(well)


# Refunded ------------------------------------------------------------------------------------------------------------


def test_find_when_money_went_back_then_how_much_and_what_was_charged(bench: Bench) -> None:
    charged = bench.gateway.charge(request_for())
    bench.refund(charged.reference, 1)
    for reference in ("", charged.reference):
        refunded = replace(charged, status=Status.PARTIALLY_REFUNDED, refunded_minor_units=1)
        assert found(bench, reference) == refunded
    bench.refund(charged.reference, 9998)
    for reference in ("", charged.reference):
        assert found(bench, reference) == replace(charged, status=Status.REFUNDED, refunded_minor_units=9999)


@pytest.mark.parametrize("money", [Money(500, "JPY"), Money(500, "ISK"), Money(5120, "KWD")], ids=str)
def test_find_of_a_partial_refund_returns_the_money_charged_and_refunded(bench: Bench, money: Money) -> None:
    charged = bench.gateway.charge(request_for(money=money))
    bench.refund(charged.reference, 100)
    assert found(bench) == replace(charged, status=Status.PARTIALLY_REFUNDED, refunded_minor_units=100)
    assert charged.money == money


def test_find_when_refunds_failed_later_then_less_is_refunded(bench: Bench) -> None:
    charged = bench.gateway.charge(request_for())
    bench.refund(charged.reference, 1000)
    bench.refund(charged.reference, 8999)
    bench.fail_refund(charged.reference)
    assert found(bench) == replace(charged, status=Status.PARTIALLY_REFUNDED, refunded_minor_units=1000)
    bench.fail_refund(charged.reference)
    assert found(bench, charged.reference) == charged


@pytest.mark.parametrize("environment_id", ["", "0123456789abcdef"])
def test_ids_of_a_charge_are_those_in_its_metadata(bench: Bench, environment_id: str) -> None:
    """As for an event about a refund, which names the charge only."""
    charged = bench.gateway.charge(replace(request_for("Pay-1"), environment_id=environment_id))
    assert bench.gateway.ids_of(charged.reference) == ("Pay-1", environment_id)
    error = error_of(lambda: bench.gateway.ids_of("pi_of_another_account"))
    assert (type(error), error.code) == (OutcomeUnknown, "charge_not_found")
    bench.fault("server_error", call="ids_of")
    assert isinstance(error_of(lambda: bench.gateway.ids_of(charged.reference)), OutcomeUnknown)


def test_stripe_ids_of_an_intent_of_another_system_are_empty() -> None:
    with in_process() as (url, fake_stripe):
        gateway = StripeGateway(lambda: SECRET_KEY, base_url=url)
        for metadata in ({}, {"payment_id": "not an id"}):
            other = fake_stripe.ledger.create({"amount": "100", "currency": "usd", "metadata": metadata})
            assert gateway.ids_of(other["id"]) == ("", "")


def test_charge_when_repeated_after_a_refund_then_nothing_is_charged_again(bench: Bench) -> None:
    charged = bench.gateway.charge(request_for())
    bench.refund(charged.reference, 9999)
    assert bench.gateway.charge(request_for()).reference == charged.reference
    assert len(bench.captured()) == 1
