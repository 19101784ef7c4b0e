"""Saved payment methods over REST: who may do what, one customer at the gateway, detaching, and erasure."""

import io
import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from payments.application.client_requests import REQUESTS_PER_SECOND
from payments.domain.clock import iso
from payments.domain.customer import Customer, changed, erased, linked
from payments.domain.errors import InvalidPayment, Misconfigured, NotSent, OutcomeUnknown, PaymentError, RateLimited
from payments.domain.identity import Caller
from payments.observability import logs
from payments.ports.payment_store import VersionConflict
from payments.ports.saved_methods import Setup
from payments.rest.customers import TRIES
from payments.rest.gateway import RETRY_AFTER_SECONDS
from tests.unit.builders import NOON
from tests.unit.rest.scenario import ADMIN, JO, OPERATOR, OTHER_SHOP, SAM, SHOP, RestScenario

PATH = {"customer_id": "cus_1"}
AT_GATEWAY = "cus_of_cus_1"


@pytest.fixture
def scenario() -> RestScenario:
    """Jo, whose customer was created by a shop, without a default payment method."""
    scenario = RestScenario()
    scenario.add_customer(subject=JO.subject)
    return scenario


def call(scenario: RestScenario, operation: str, caller: Caller = SHOP, **path: str) -> dict[str, Any]:
    """An operation's answer, a second after the one before: each second has slots of its own."""
    scenario.now += timedelta(seconds=1)
    return scenario.call(operation, caller, path=PATH | path)


def set_up(scenario: RestScenario, caller: Caller = SHOP) -> dict[str, Any]:
    return call(scenario, "create_setup", caller)


def methods(scenario: RestScenario, caller: Caller = SHOP) -> dict[str, bool]:
    """Payment method → whether it is the default."""
    answer = call(scenario, "list_payment_methods", caller)
    assert answer["statusCode"] == 200
    return {method["id"]: method["default"] for method in answer["body"]["payment_methods"]}


def saved(scenario: RestScenario, *ids: str, default: str = "") -> None:
    """Jo saved these cards, oldest first."""
    assert set_up(scenario)["statusCode"] == 201
    for method_id in ids:
        scenario.saved_methods.attach(AT_GATEWAY, method_id)
    if default:
        choose(scenario, default)


def choose(scenario: RestScenario, method_id: str) -> None:
    body = {"default_payment_method": method_id}
    assert scenario.call("update_customer", SHOP, body, path=PATH)["statusCode"] == 200


def detach(scenario: RestScenario, method_id: str, caller: Caller = SHOP) -> dict[str, Any]:
    return call(scenario, "delete_payment_method", caller, method_id=method_id)


def row(scenario: RestScenario) -> Customer:
    return scenario.customers.rows["cus_1"]


# Set up --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("caller", [SHOP, JO, ADMIN], ids=["its creator", "its owner", "an admin"])
def test_setup_gives_the_secret_for_stripe_js_and_is_not_cached(scenario: RestScenario, caller: Caller) -> None:
    answer = set_up(scenario, caller)
    assert answer["statusCode"] == 201
    assert answer["body"] == {
        "setup_id": "seti_2",
        "client_secret": "seti_2_secret_memory",
        "status": "requires_payment_method",
        "links": {"payment_methods": "/customers/cus_1/payment-methods"},
    }
    assert answer["headers"]["Cache-Control"] == "no-store"


def test_setup_makes_one_customer_at_the_gateway_and_keeps_it(scenario: RestScenario) -> None:
    before = row(scenario)
    assert [set_up(scenario)["statusCode"] for _ in range(3)] == [201] * 3
    assert scenario.saved_methods.calls == ["create_customer", *["start_setup"] * 3]
    # updated_at stays: for a day after it, the default payment method counts as a new card
    assert row(scenario) == replace(before, version=2, gateway_customer=AT_GATEWAY)


class Overtaken(RestScenario):
    """A customer that other callers change just before our saves, once for each of `others`."""

    def __init__(self) -> None:
        super().__init__()
        self.add_customer(subject=JO.subject)
        self.others: list[Customer] = []
        self._save = self.customers.save
        self.customers.save = self.save  # type: ignore[method-assign]

    def save(self, customer: Customer) -> None:
        if self.others:
            self._save(self.others.pop(0))
            raise VersionConflict
        self._save(customer)


def test_setup_by_two_at_once_keeps_the_winners_customer() -> None:
    scenario = Overtaken()
    scenario.others = [linked(row(scenario), "cus_of_the_winner")]
    scenario.saved_methods.attached["cus_of_the_winner"] = []
    assert set_up(scenario)["statusCode"] == 201
    assert row(scenario).gateway_customer == "cus_of_the_winner"


def test_setup_while_the_customer_changes_keeps_both_changes() -> None:
    scenario = Overtaken()
    scenario.others = [changed(row(scenario), {"name": "sealed.v1.new"}, at=NOON)]
    assert set_up(scenario)["statusCode"] == 201
    assert (row(scenario).name, row(scenario).gateway_customer) == ("sealed.v1.new", AT_GATEWAY)


def test_setup_while_the_customer_is_erased_deletes_the_new_one() -> None:
    scenario = Overtaken()
    scenario.others = [erased(row(scenario), at=NOON)]
    assert set_up(scenario)["statusCode"] == 404
    assert scenario.saved_methods.attached == {}
    assert row(scenario).gateway_customer == ""


def test_setup_of_a_customer_that_always_changes_gives_409() -> None:
    scenario = Overtaken()
    scenario.others = [replace(row(scenario), version=version + 2) for version in range(TRIES)]
    assert set_up(scenario)["statusCode"] == 409


def test_setup_is_limited_for_each_customer() -> None:
    scenario = RestScenario(per_customer=2)
    scenario.add_customer()
    assert [set_up(scenario)["statusCode"] for _ in range(3)] == [201, 201, 429]


def test_setup_when_the_gateway_forgot_the_customer_gives_409(scenario: RestScenario) -> None:
    saved(scenario)
    scenario.saved_methods.attached.clear()
    answer = set_up(scenario)
    assert (answer["statusCode"], answer["body"]["type"]) == (409, "urn:problem:payment-api:conflict")


# Never kept ----------------------------------------------------------------------------------------------------------


def test_secret_of_a_setup_is_never_stored_or_logged(scenario: RestScenario, monkeypatch: pytest.MonkeyPatch) -> None:
    out = io.StringIO()
    monkeypatch.setattr(logs.logger().registered_handler, "stream", out)
    answer = set_up(scenario)
    secret = answer["body"]["client_secret"]
    logs.logger().info(f"by mistake {secret}", answer=answer, text=secret, content=json.dumps(answer["body"]))
    assert secret not in f"{scenario.customers.rows} {scenario.access_log.entries} {scenario.counters.hits}"
    assert secret not in out.getvalue()


def test_setup_when_printed_then_shows_no_secret() -> None:
    shown = repr(Setup("seti_1", "seti_1_secret_2", "requires_payment_method"))
    assert shown == "Setup(setup_id='seti_1', status='requires_payment_method')"


# List ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("caller", [SHOP, JO, ADMIN, OPERATOR])
def test_list_shows_each_card_and_which_is_the_default(scenario: RestScenario, caller: Caller) -> None:
    saved(scenario, "pm_1", "pm_2", default="pm_1")
    answer = call(scenario, "list_payment_methods", caller)
    card = {"brand": "visa", "last4": "4242", "exp_month": 12, "exp_year": 2034}
    assert (answer["statusCode"], answer["body"]) == (
        200,
        {
            "payment_methods": [{"id": "pm_2", **card, "default": False}, {"id": "pm_1", **card, "default": True}],
            "links": {"self": "/customers/cus_1/payment-methods"},
        },
    )


def test_list_of_a_customer_who_saved_none_sends_nothing(scenario: RestScenario) -> None:
    choose(scenario, "pm_card_visa")
    assert methods(scenario) == {}
    assert scenario.saved_methods.calls == []


# Detach --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("caller", [SHOP, JO, ADMIN])
def test_detach_removes_a_card_for_ever(scenario: RestScenario, caller: Caller) -> None:
    saved(scenario, "pm_1", "pm_2", default="pm_2")
    answer = detach(scenario, "pm_1", caller)
    assert (answer["statusCode"], answer["body"]) == (204, None)
    assert methods(scenario) == {"pm_2": True}
    assert detach(scenario, "pm_1", caller)["statusCode"] == 404


def test_detach_of_the_default_removes_the_default(scenario: RestScenario) -> None:
    saved(scenario, "pm_1", "pm_2", default="pm_1")
    assert detach(scenario, "pm_1")["statusCode"] == 204
    assert methods(scenario) == {"pm_2": False}
    assert (row(scenario).default_payment_method, row(scenario).default_removed_at) == ("", iso(NOON))


def test_detach_without_a_default_is_remembered_against_a_late_event(scenario: RestScenario) -> None:
    saved(scenario, "pm_1")
    assert detach(scenario, "pm_1")["statusCode"] == 204
    assert row(scenario).default_removed_at == iso(NOON)


def test_detach_that_the_gateway_did_not_answer_can_be_repeated(scenario: RestScenario) -> None:
    saved(scenario, "pm_1", default="pm_1")
    scenario.saved_methods.failures = []
    listed = scenario.saved_methods.of

    def then_fails(gateway_customer: str) -> Any:
        found = listed(gateway_customer)
        scenario.saved_methods.failures = [OutcomeUnknown("no_answer", "no answer")]
        return found

    scenario.saved_methods.of = then_fails  # type: ignore[method-assign]
    assert detach(scenario, "pm_1")["statusCode"] == 503
    assert row(scenario).default_payment_method == ""
    scenario.saved_methods.of = listed  # type: ignore[method-assign]
    assert detach(scenario, "pm_1")["statusCode"] == 204
    assert methods(scenario) == {}


@pytest.mark.parametrize("method_id", ["pm_unknown", "pm_of_sam", "ptok_x", "pm 1", "x" * 200])
def test_detach_of_an_unknown_or_another_customers_card_is_404(scenario: RestScenario, method_id: str) -> None:
    saved(scenario, "pm_1", default="pm_1")
    scenario.saved_methods.attached["cus_of_sam"] = []
    scenario.saved_methods.attach("cus_of_sam", "pm_of_sam")

    answer = detach(scenario, method_id)

    assert (answer["statusCode"], answer["body"]["detail"]) == (404, detach(scenario, "pm_other")["body"]["detail"])
    assert "detach" not in scenario.saved_methods.calls
    assert methods(scenario) == {"pm_1": True}


def test_detach_while_the_customer_changes_keeps_the_new_default() -> None:
    scenario = Overtaken()
    saved(scenario, "pm_1", "pm_2", default="pm_1")
    sealed = scenario.encryptor.seal(row(scenario).context, {"default_payment_method": "pm_2"})
    scenario.others = [changed(row(scenario), sealed, at=NOON)]
    assert detach(scenario, "pm_1")["statusCode"] == 204
    assert methods(scenario) == {"pm_2": True}


# Who -----------------------------------------------------------------------------------------------------------------

OPERATIONS = ("create_setup", "list_payment_methods", "delete_payment_method")


@pytest.mark.fault(41)
@pytest.mark.parametrize("caller", [OTHER_SHOP, SAM], ids=["another shop", "another customer"])
@pytest.mark.parametrize("operation", OPERATIONS)
def test_another_callers_customer_is_404_and_audited(scenario: RestScenario, operation: str, caller: Caller) -> None:
    saved(scenario, "pm_1")
    scenario.saved_methods.calls.clear()
    answer = call(scenario, operation, caller, method_id="pm_1")
    unknown = scenario.call(operation, caller, path={"customer_id": "cus_2", "method_id": "pm_1"})
    assert (answer["statusCode"], answer["body"]) == (404, unknown["body"])
    assert scenario.denied == [(caller.subject, "customer", "cus_1")]
    assert scenario.saved_methods.calls == []


@pytest.mark.parametrize("operation", OPERATIONS)
def test_erased_customers_saved_cards_are_404(scenario: RestScenario, operation: str) -> None:
    saved(scenario, "pm_1")
    assert call(scenario, "delete_customer")["statusCode"] == 204
    assert call(scenario, operation, ADMIN, method_id="pm_1")["statusCode"] == 404


# Without an answer ---------------------------------------------------------------------------------------------------

FAILURES: list[PaymentError] = [
    NotSent("gateway_unreachable", "no connection"),
    OutcomeUnknown("no_answer", "no answer"),
    Misconfigured("gateway_key_refused", "the key"),
]


@pytest.mark.parametrize("error", FAILURES, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("operation", [*OPERATIONS, "delete_customer"])
def test_gateway_without_an_answer_is_503_with_retry_after(
    scenario: RestScenario, operation: str, error: PaymentError
) -> None:
    saved(scenario, "pm_1", default="pm_1")
    before = row(scenario)
    scenario.saved_methods.failures = [error]
    answer = call(scenario, operation, method_id="pm_1")
    assert (answer["statusCode"], answer["headers"]["Retry-After"]) == (503, str(RETRY_AFTER_SECONDS))
    assert "the key" not in answer["body"]["detail"]
    assert row(scenario) == before


@pytest.mark.parametrize("operation", [*OPERATIONS, "delete_customer"])
def test_no_slot_is_429_with_retry_after_and_sends_nothing(scenario: RestScenario, operation: str) -> None:
    saved(scenario, "pm_1")
    scenario.saved_methods.calls.clear()
    slot = scenario.now + timedelta(seconds=2)
    for _ in range(REQUESTS_PER_SECOND):
        scenario.counters.count(f"client_requests#{slot:%Y-%m-%dT%H:%M:%S}", slot)

    answer = call(scenario, operation, method_id="pm_1")

    assert (answer["statusCode"], answer["headers"]["Retry-After"]) == (429, "1")
    assert scenario.saved_methods.calls == []


def test_gateway_that_asks_to_slow_down_is_429_with_its_seconds(scenario: RestScenario) -> None:
    scenario.saved_methods.failures = [RateLimited("rate_limit", "slow down", retry_after_seconds=17)]
    answer = set_up(scenario)
    assert (answer["statusCode"], answer["headers"]["Retry-After"]) == (429, "17")


# Erase ---------------------------------------------------------------------------------------------------------------


def test_erasure_deletes_the_gateways_customer_too(scenario: RestScenario) -> None:
    saved(scenario, "pm_1")
    assert call(scenario, "delete_customer")["statusCode"] == 204
    assert scenario.saved_methods.attached == {}
    left = replace(row(scenario), erased_for="")
    assert left == Customer("cus_1", created_at=iso(NOON), version=3, erased_at=iso(NOON))


def test_erasure_that_the_gateway_did_not_answer_is_completed_by_the_next(scenario: RestScenario) -> None:
    saved(scenario, "pm_1")
    scenario.saved_methods.failures = [OutcomeUnknown("no_answer", "no answer")]
    assert call(scenario, "delete_customer")["statusCode"] == 503
    assert row(scenario).gateway_customer == AT_GATEWAY
    assert call(scenario, "delete_customer")["statusCode"] == 204
    assert scenario.saved_methods.attached == {}


def test_erasure_while_a_first_setup_begins_deletes_its_customer() -> None:
    scenario = Overtaken()
    scenario.others = [linked(row(scenario), scenario.saved_methods.create_customer("cus_1"))]
    assert call(scenario, "delete_customer")["statusCode"] == 204
    assert scenario.saved_methods.attached == {}


def test_erasure_of_a_customer_without_saved_cards_sends_nothing(scenario: RestScenario) -> None:
    scenario.saved_methods.failures = [InvalidPayment("unknown_customer", "never called")]
    assert call(scenario, "delete_customer")["statusCode"] == 204
    assert scenario.saved_methods.calls == []
