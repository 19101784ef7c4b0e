"""What every RefundGateway does, run against the in-memory fake and against Stripe's adapter on the fake Stripe."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest

from fakes.refund_gateway import MemoryRefunds
from payments.adapters.stripe.refunds import StripeRefunds
from payments.domain.errors import Conflict, InvalidPayment, Misconfigured, NotSent, OutcomeUnknown, RateLimited
from payments.domain.money import Money
from payments.domain.refund_statuses import RefundStatus
from payments.ports.refund_gateway import GatewayRefund, RefundGateway, RefundOrder
from tests.contract.gateway_benches import SECRET_KEY, Bench, StripeBench, bench_of, error_of, request_for

_S = RefundStatus


@dataclass
class Refunds:
    bench: Bench
    gateway: RefundGateway

    def paid(self, method: str = "pm_card_visa", **more: Any) -> str:
        return self.bench.gateway.charge(request_for(method=method, **more)).reference

    def end(self, refund: GatewayRefund, status: RefundStatus) -> None:
        if isinstance(self.bench, StripeBench):
            self.bench.end_refund(refund.reference, status.value)
        else:
            assert self.bench.gateway.end_refund(refund.reference, status)  # type: ignore[attr-defined]

    def fault(self, kind: str, **details: Any) -> None:
        stripe = isinstance(self.bench, StripeBench)
        self.bench.fault(kind, **details if stripe else {**details, "call": "create_refund"})


@pytest.fixture(params=["memory", "stripe"])
def refunds(request: pytest.FixtureRequest) -> Iterator[Refunds]:
    with bench_of(request.param) as bench:
        if isinstance(bench, StripeBench):
            yield Refunds(bench, StripeRefunds(lambda: SECRET_KEY, base_url=bench.url, read_timeout_seconds=10))
        else:
            yield Refunds(bench, MemoryRefunds(bench.gateway))  # type: ignore[arg-type]


def order(charge: str, refund_id: str = "ref_1", minor_units: int = 4000, **more: Any) -> RefundOrder:
    money = Money(minor_units, "USD")
    values = {"environment_id": "env", "metadata": {"order": "A-17"}, **more}
    return RefundOrder(refund_id, "pay-1", charge, money, "duplicate", **values)


def test_refund_says_what_it_is_and_what_is_refunded_in_all(refunds: Refunds) -> None:
    charge = refunds.paid()
    first = refunds.gateway.create_refund(order(charge))
    second = refunds.gateway.create_refund(order(charge, "ref_2", 5999))

    assert first == replace(
        second, reference=first.reference, refund_id="ref_1", money=Money(4000, "USD"), total=first.total
    )
    assert (second.status, second.total, second.reason) == (_S.SUCCEEDED, 9999, "duplicate")
    assert (second.refund_id, second.environment_id) == ("ref_2", "env")
    assert first.total == 4000


@pytest.mark.fault(39)
def test_same_key_refunds_once_and_another_key_again(refunds: Refunds) -> None:
    charge = refunds.paid()
    first = refunds.gateway.create_refund(order(charge))
    again = refunds.gateway.create_refund(order(charge))
    refunds.gateway.create_refund(order(charge, "ref_2", 1000))

    assert again.reference == first.reference
    assert len(refunds.gateway.refunds_of(charge)) == 2


def test_same_key_with_another_amount_is_a_conflict(refunds: Refunds) -> None:
    charge = refunds.paid()
    refunds.gateway.create_refund(order(charge))

    assert isinstance(error_of(lambda: refunds.gateway.create_refund(order(charge, minor_units=1))), Conflict)


@pytest.mark.parametrize(("first", "code"), [(9999, "refunded_already"), (9000, "more_than_left")])
def test_refund_of_more_than_is_left_is_refused(refunds: Refunds, first: int, code: str) -> None:
    charge = refunds.paid()
    refunds.gateway.create_refund(order(charge, minor_units=first))

    error = error_of(lambda: refunds.gateway.create_refund(order(charge, "ref_2", 1000)))

    assert (type(error), error.code) == (InvalidPayment, code)


def test_list_has_all_refunds_newest_first_with_those_by_hand(refunds: Refunds) -> None:
    charge = refunds.paid()
    assert refunds.gateway.refunds_of(charge) == ()
    ours = refunds.gateway.create_refund(order(charge))
    refunds.bench.refund(charge, 1000)

    by_hand, listed = refunds.gateway.refunds_of(charge)

    assert (listed.reference, listed.refund_id, listed.environment_id) == (ours.reference, "ref_1", "env")
    assert (by_hand.refund_id, by_hand.money, by_hand.total) == ("", Money(1000, "USD"), 5000)


def test_refund_of_a_test_card_may_be_pending_and_succeed_later(refunds: Refunds) -> None:
    charge = refunds.paid("pm_card_pendingRefund")
    pending = refunds.gateway.create_refund(order(charge))
    assert (pending.status, pending.total) == (_S.PROCESSING, 4000)
    refunds.end(pending, _S.SUCCEEDED)

    assert refunds.gateway.refund(pending.reference).status is _S.SUCCEEDED


@pytest.mark.fault(81)
def test_refund_that_succeeded_may_fail_later_and_counts_no_more(refunds: Refunds) -> None:
    charge = refunds.paid()
    done = refunds.gateway.create_refund(order(charge))
    refunds.end(done, _S.FAILED)

    failed = refunds.gateway.refund(done.reference)

    assert (failed.status, failed.total) == (_S.FAILED, 0)
    assert refunds.gateway.refunds_of(charge) == (failed,)


@pytest.mark.fault(39)
@pytest.mark.parametrize("executes", [True, False])
def test_lost_answer_is_unknown_and_the_list_tells(refunds: Refunds, executes: bool) -> None:
    charge = refunds.paid()
    refunds.fault("answer_lost", executes=executes)
    error = error_of(lambda: refunds.gateway.create_refund(order(charge)))

    assert isinstance(error, OutcomeUnknown)
    assert [refund.refund_id for refund in refunds.gateway.refunds_of(charge)] == (["ref_1"] if executes else [])
    refunds.gateway.create_refund(order(charge))
    assert len(refunds.gateway.refunds_of(charge)) == 1


@pytest.mark.parametrize(("kind", "error"), [("rate_limited", RateLimited), ("unauthorized", Misconfigured)])
def test_refusal_of_all_requests_is_no_answer_about_the_refund(refunds: Refunds, kind: str, error: type) -> None:
    charge = refunds.paid()
    refunds.fault(kind)

    assert type(error_of(lambda: refunds.gateway.create_refund(order(charge)))) is error


def test_unknown_charge_or_refund_is_never_proof(refunds: Refunds) -> None:
    for call in (
        lambda: refunds.gateway.create_refund(order("pi_unknown")),
        lambda: refunds.gateway.refund("re_unknown"),
    ):
        assert isinstance(error_of(call), OutcomeUnknown)


def test_no_connection_is_not_sent() -> None:
    nowhere = StripeRefunds(lambda: SECRET_KEY, base_url="http://127.0.0.1:9")

    assert isinstance(error_of(lambda: nowhere.create_refund(order("pi_1"))), NotSent)


def test_amount_that_stripe_cannot_express_is_refused_unsent() -> None:
    nowhere = StripeRefunds(lambda: SECRET_KEY, base_url="http://127.0.0.1:9")
    cents = replace(order("pi_1"), money=Money(1235, "KWD"))

    assert isinstance(error_of(lambda: nowhere.create_refund(cents)), InvalidPayment)
