"""Which payment methods a gateway charges: those of a customer with this customer, others once."""

from collections.abc import Iterator

import pytest

from payments.domain.errors import AttemptDeclined, Conflict, InvalidPayment, RequiresAction
from payments.domain.statuses import Status
from tests.contract.gateway_benches import Bench, bench_of, error_of, request_for


@pytest.fixture(params=["memory", "stripe"])
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    with bench_of(request.param) as bench:
        yield bench


def refusal_of(bench: Bench, method: str, customer: str = "", payment_id: str = "pay-refused") -> str:
    """The code of the refusal of a charge. It is about this payment, and nothing more was captured."""
    captured = bench.captured()
    error = error_of(lambda: bench.gateway.charge(request_for(payment_id, method, customer=customer)))
    assert type(error) is InvalidPayment
    assert bench.captured() == captured
    return error.code


def test_saved_card_is_charged_any_number_of_times_with_its_customer(bench: Bench) -> None:
    method, customer = bench.saved_card()
    for number in range(3):
        request = request_for(f"pay-{number}", method, customer=customer, off_session=True)
        assert bench.gateway.charge(request).status is Status.SUCCEEDED
    assert len(bench.captured()) == 3


def test_saved_card_without_its_customer_is_refused(bench: Bench) -> None:
    method, _ = bench.saved_card()
    assert refusal_of(bench, method) == "customer_mismatch"


def test_refusal_of_a_card_is_kept_under_the_key_of_its_payment(bench: Bench) -> None:
    method, customer = bench.saved_card()
    assert {refusal_of(bench, method, payment_id="pay-1") for _ in range(2)} == {"customer_mismatch"}
    corrected = request_for("pay-1", method, customer=customer)
    assert type(error_of(lambda: bench.gateway.charge(corrected))) is Conflict


def test_saved_card_of_another_customer_is_refused(bench: Bench) -> None:
    method, _ = bench.saved_card()
    _, other = bench.saved_card()
    assert refusal_of(bench, method, other) == "payment_method_refused"


def test_card_without_customer_is_charged_once_for_one_payment(bench: Bench) -> None:
    method = bench.new_card()
    first, again = (bench.gateway.charge(request_for("pay-1", method)) for _ in range(2))
    assert again == first
    assert refusal_of(bench, method) == "request_refused"


def test_card_without_customer_is_used_up_by_a_declined_charge(bench: Bench) -> None:
    method = bench.new_card("pm_card_chargeDeclined")
    assert type(error_of(lambda: bench.gateway.charge(request_for("pay-1", method)))) is AttemptDeclined
    assert refusal_of(bench, method) == "request_refused"


def test_detached_card_is_refused_with_and_without_its_customer(bench: Bench) -> None:
    method, customer = bench.saved_card()
    bench.detach(method)
    assert refusal_of(bench, method) == "request_refused"
    assert refusal_of(bench, method, customer, payment_id="pay-with-customer") == "request_refused"


def test_saved_card_that_must_authenticate_is_not_charged_off_session(bench: Bench) -> None:
    method, customer = bench.saved_card("pm_card_authenticationRequired")
    request = request_for("pay-1", method, customer=customer, off_session=True)
    error = error_of(lambda: bench.gateway.charge(request))
    assert (type(error), error.code) == (RequiresAction, "authentication_required")
    found = error_of(lambda: bench.gateway.find("pay-1", error.gateway_reference))
    assert (type(found), found.gateway_reference) == (RequiresAction, error.gateway_reference)
    assert bench.captured() == []
