"""Saved payment methods, of the fake and of Stripe's adapter on the fake Stripe."""

import traceback
from collections.abc import Callable, Iterator
from typing import Any, Protocol

import pytest
import requests

from fakes.saved_methods import MemorySavedMethods
from local.fake_stripe.app import FakeStripe
from local.fake_stripe.faults import Fault, Kind
from local.fake_stripe.server import in_process
from payments.adapters.stripe.gateway import StripeGateway
from payments.adapters.stripe.next_actions import StripeNextActions
from payments.adapters.stripe.saved_methods import StripeSavedMethods
from payments.domain.errors import (
    InvalidPayment,
    Misconfigured,
    NotSent,
    OutcomeUnknown,
    PaymentError,
    RateLimited,
    RequiresAction,
)
from payments.domain.money import Money
from payments.domain.statuses import Status
from payments.ports.payment_gateway import ChargeRequest
from payments.ports.saved_methods import SavedMethod, SavedMethods, Setup
from tests.contract.gateway_benches import SECRET_KEY, error_of

ENVIRONMENT = "123456789012-us-east-1-dev"


class Bench(Protocol):
    """A gateway's saved methods, and the cardholder's side."""

    @property
    def methods(self) -> SavedMethods:
        """The saved methods under test."""

    def confirm(self, customer: str, setup: Setup) -> str:
        """The cardholder confirms a setup with a Visa card. Returns the payment method."""

    def fail(self, error: PaymentError) -> None:
        """Let the next call fail so."""


class MemoryBench:
    def __init__(self) -> None:
        self.methods = MemorySavedMethods()
        self._made = 0

    def confirm(self, customer: str, setup: Setup) -> str:
        assert setup.client_secret
        self._made += 1
        self.methods.attach(customer, f"pm_{self._made}")
        return f"pm_{self._made}"

    def fail(self, error: PaymentError) -> None:
        self.methods.failures.append(error)


FAULTS = {
    RateLimited: Kind.RATE_LIMITED,
    OutcomeUnknown: Kind.SERVER_ERROR,
    Misconfigured: Kind.UNAUTHORIZED,
}


class StripeBench:
    def __init__(self, url: str, fake_stripe: FakeStripe) -> None:
        self.methods = StripeSavedMethods(lambda: SECRET_KEY, ENVIRONMENT, base_url=url, read_timeout_seconds=10)
        self.url = url
        self.fake_stripe = fake_stripe

    def confirm(self, customer: str, setup: Setup) -> str:
        form = {"client_secret": setup.client_secret, "payment_method": "pm_card_visa"}
        assert customer
        return str(post(f"{self.url}/v1/setup_intents/{setup.setup_id}/confirm", form)["payment_method"])

    def fail(self, error: PaymentError) -> None:
        self.fake_stripe.faults.add(Fault(FAULTS[type(error)]))


def post(url: str, form: dict[str, Any]) -> dict[str, Any]:
    answer = requests.post(url, data=form, auth=(SECRET_KEY, ""), timeout=10)
    assert answer.status_code == 200, answer.text
    content: dict[str, Any] = answer.json()
    return content


@pytest.fixture
def stripe_bench() -> Iterator[StripeBench]:
    with in_process() as (url, fake_stripe):
        yield StripeBench(url, fake_stripe)


@pytest.fixture(params=["memory", "stripe"])
def bench(request: pytest.FixtureRequest) -> Bench:
    if request.param == "memory":
        return MemoryBench()
    found: Bench = request.getfixturevalue("stripe_bench")
    return found


def test_create_customer_twice_makes_one(bench: Bench) -> None:
    first, other = bench.methods.create_customer("cus_1"), bench.methods.create_customer("cus_2")
    assert first.startswith("cus_")
    assert bench.methods.create_customer("cus_1") == first != other


def test_setup_has_a_secret_and_waits_for_its_cardholder(bench: Bench) -> None:
    customer = bench.methods.create_customer("cus_1")
    one, two = (bench.methods.start_setup(customer, "cus_1") for _ in range(2))
    assert one.setup_id.startswith("seti_")
    assert one.client_secret.startswith(f"{one.setup_id}_secret_")
    assert one.status == "requires_payment_method"
    assert one.setup_id != two.setup_id
    assert bench.methods.of(customer) == []


def test_confirmed_setups_are_listed_newest_first_for_their_customer_only(bench: Bench) -> None:
    jo, sam = bench.methods.create_customer("cus_jo"), bench.methods.create_customer("cus_sam")
    ids = [bench.confirm(jo, bench.methods.start_setup(jo, "cus_jo")) for _ in range(2)]
    assert bench.methods.of(jo) == [SavedMethod(method_id, "visa", "4242", 12, 2034) for method_id in reversed(ids)]
    assert bench.methods.of(sam) == []


def test_detach_is_final_and_may_be_repeated(bench: Bench) -> None:
    customer = bench.methods.create_customer("cus_1")
    one, two = (bench.confirm(customer, bench.methods.start_setup(customer, "cus_1")) for _ in range(2))
    for _ in range(2):
        bench.methods.detach(one)
        assert [method.method_id for method in bench.methods.of(customer)] == [two]
    bench.methods.detach("pm_unknown")


def test_deleted_customer_is_unknown_and_deleting_may_be_repeated(bench: Bench) -> None:
    customer = bench.methods.create_customer("cus_1")
    bench.confirm(customer, bench.methods.start_setup(customer, "cus_1"))
    for _ in range(2):
        bench.methods.delete_customer(customer)
    for ask in (lambda: bench.methods.of(customer), lambda: bench.methods.start_setup(customer, "cus_1")):
        error = error_of(ask)
        assert (type(error), error.code) == (InvalidPayment, "unknown_customer")


CALLS: dict[str, Callable[[SavedMethods, str, str], object]] = {
    "create_customer": lambda methods, _, __: methods.create_customer("cus_new"),
    "start_setup": lambda methods, customer, _: methods.start_setup(customer, "cus_1"),
    "of": lambda methods, customer, _: methods.of(customer),
    "detach": lambda methods, _, method_id: methods.detach(method_id),
    "delete_customer": lambda methods, customer, _: methods.delete_customer(customer),
}


@pytest.mark.fault(53)
@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("error", [RateLimited("a", "b"), OutcomeUnknown("a", "b"), Misconfigured("a", "b")])
def test_call_that_the_gateway_does_not_answer_says_how(bench: Bench, call: str, error: PaymentError) -> None:
    customer = bench.methods.create_customer("cus_1")
    method_id = bench.confirm(customer, bench.methods.start_setup(customer, "cus_1"))
    bench.fail(error)
    assert type(error_of(lambda: CALLS[call](bench.methods, customer, method_id))) is type(error)


# Stripe alone --------------------------------------------------------------------------------------------------------


def test_stripe_gets_our_ids_and_no_personal_data(stripe_bench: StripeBench) -> None:
    customer = stripe_bench.methods.create_customer("cus_1")
    setup = stripe_bench.methods.start_setup(customer, "cus_1")
    ours = {"customer_id": "cus_1", "payment_environment": ENVIRONMENT}
    there = stripe_bench.fake_stripe.customers.retrieve({}, customer)
    assert (there["metadata"], there["email"], there["name"], there["description"]) == (ours, None, None, None)
    intent = stripe_bench.fake_stripe.setups.retrieve({}, setup.setup_id)
    assert (intent["metadata"], intent["customer"], intent["usage"]) == (ours, customer, "off_session")


@pytest.mark.fault(57)
def test_stripe_gets_one_customer_for_each_environment(stripe_bench: StripeBench) -> None:
    prod = StripeSavedMethods(lambda: SECRET_KEY, "123456789012-us-east-1-prod", base_url=stripe_bench.url)
    assert prod.create_customer("cus_1") != stripe_bench.methods.create_customer("cus_1")


def test_stripe_with_a_refused_key_has_it_read_again_and_shows_none(stripe_bench: StripeBench) -> None:
    forgotten: list[str] = []
    refused = StripeSavedMethods(
        lambda: "sk_live_wrong", ENVIRONMENT, refused=lambda: forgotten.append("key"), base_url=stripe_bench.url
    )
    error = error_of(lambda: refused.of("cus_1"))
    assert (type(error), forgotten) == (Misconfigured, ["key"])
    assert "sk_live_wrong" not in "".join(traceback.format_exception(error))


def test_stripe_when_no_connection_is_made_then_is_not_sent() -> None:
    nowhere = StripeSavedMethods(
        lambda: SECRET_KEY, ENVIRONMENT, base_url="http://127.0.0.1:1", connect_timeout_seconds=2
    )
    assert isinstance(error_of(lambda: nowhere.create_customer("cus_1")), NotSent)


# Charges, of Stripe alone --------------------------------------------------------------------------------------------


@pytest.fixture
def saved(stripe_bench: StripeBench) -> tuple[str, str]:
    """A customer at Stripe, and a card that it saved."""
    customer = stripe_bench.methods.create_customer("cus_1")
    return customer, stripe_bench.confirm(customer, stripe_bench.methods.start_setup(customer, "cus_1"))


def charged(bench: StripeBench, method: str, customer: str = "", payment_id: str = "pay-1", **more: Any) -> Status:
    gateway = StripeGateway(lambda: SECRET_KEY, base_url=bench.url, read_timeout_seconds=10)
    request = ChargeRequest(payment_id, Money(9999, "USD"), method, customer=customer, **more)
    return gateway.charge(request).status


@pytest.mark.fault(52)
def test_stripe_charges_a_saved_card_again_and_again_with_its_customer(
    stripe_bench: StripeBench, saved: tuple[str, str]
) -> None:
    customer, method = saved
    for payment_id in ("pay-1", "pay-2"):
        assert charged(stripe_bench, method, customer, payment_id, off_session=True) is Status.SUCCEEDED


def test_stripe_charges_a_card_that_is_saved_nowhere_with_a_customer(
    stripe_bench: StripeBench, saved: tuple[str, str]
) -> None:
    assert charged(stripe_bench, "pm_card_visa", saved[0]) is Status.SUCCEEDED


@pytest.mark.fault(52)
@pytest.mark.parametrize("which", ["no customer", "another customer", "unknown customer", "detached", "deleted"])
def test_stripe_refuses_a_saved_card_as_that_payments_fault_alone(
    stripe_bench: StripeBench, saved: tuple[str, str], which: str
) -> None:
    customer, method = saved
    match which:
        case "no customer":
            customer = ""
        case "another customer":
            customer = stripe_bench.methods.create_customer("cus_2")
        case "unknown customer":
            customer = "cus_unknown"
        case "detached":
            stripe_bench.methods.detach(method)
        case "deleted":
            stripe_bench.methods.delete_customer(customer)
    error = error_of(lambda: charged(stripe_bench, method, customer))
    assert type(error) is InvalidPayment
    assert "charged nothing" in error.message
    assert method not in str(error)
    assert stripe_bench.fake_stripe.ledger.captured() == []


@pytest.mark.fault(52)
def test_stripe_refuses_a_card_saved_nowhere_the_second_time(stripe_bench: StripeBench) -> None:
    form = {"type": "card", "card[token]": "tok_visa"}
    method = post(f"{stripe_bench.url}/v1/payment_methods", form)["id"]
    assert charged(stripe_bench, method) is Status.SUCCEEDED
    error = error_of(lambda: charged(stripe_bench, method, payment_id="pay-2"))
    assert (type(error), error.code) == (InvalidPayment, "request_refused")


@pytest.mark.fault(17)
def test_stripe_lets_an_absent_customer_confirm_the_card_again(stripe_bench: StripeBench) -> None:
    customer = stripe_bench.methods.create_customer("cus_1")
    form = {"customer": customer}
    path = f"{stripe_bench.url}/v1/payment_methods/pm_card_threeDSecureRequired/attach"
    method = post(path, form)["id"]
    error = error_of(lambda: charged(stripe_bench, method, customer, off_session=True))
    assert (type(error), error.code) == (RequiresAction, "authentication_required")

    gateway = StripeGateway(lambda: SECRET_KEY, base_url=stripe_bench.url, read_timeout_seconds=10)
    later = error_of(lambda: gateway.find("pay-1", error.gateway_reference))
    assert (type(later), later.gateway_reference) == (RequiresAction, error.gateway_reference)

    action = StripeNextActions(lambda: SECRET_KEY, base_url=stripe_bench.url).next_action(error.gateway_reference)
    assert action is not None
    assert (action.method, action.payment_method) == ("use_stripe_sdk", method)
    confirm = {"client_secret": action.client_secret, "payment_method": action.payment_method}
    post(f"{stripe_bench.url}/v1/payment_intents/{error.gateway_reference}/confirm", confirm)
    stripe_bench.fake_stripe.async_outcomes.authenticate(error.gateway_reference, "succeeded")
    found = gateway.find("pay-1", error.gateway_reference)
    assert found is not None
    assert found.status is Status.SUCCEEDED


@pytest.mark.fault(17)
def test_stripe_with_a_return_url_offers_a_page_to_authenticate_on(stripe_bench: StripeBench) -> None:
    url = "https://shop.example/done?order=A-17"
    error = error_of(lambda: charged(stripe_bench, "pm_card_authenticationRequired", return_url=url))
    assert type(error) is RequiresAction
    action = StripeNextActions(lambda: SECRET_KEY, base_url=stripe_bench.url).next_action(error.gateway_reference)
    assert action is not None
    assert (action.method, bool(action.redirect_url)) == ("redirect_to_url", True)
