"""POST /payments/{payment_id}/retry: who may, what it answers, and what it never says."""

from dataclasses import replace
from typing import Any

import pytest

from fakes.gateway import Fault, FaultKind
from payments.domain.identity import Caller, Role
from payments.domain.statuses import Status
from payments.ports.payment_gateway import ChargeRequest
from tests.unit.builders import after
from tests.unit.rest.scenario import ADMIN, JO, OTHER_SHOP, SAM, SHOP, RestScenario

NEW: dict[str, Any] = {"payment_id": "pay_1", "amount": "99.99", "currency": "USD", "customer_id": "cus_1"}
STAFF_AND_OTHER_SHOP = Caller("sub_both", frozenset({Role.OPERATOR, Role.MERCHANT}))


@pytest.fixture
def scenario() -> RestScenario:
    """A failed payment of a shop and its customer."""
    scenario = RestScenario()
    scenario.add_customer(subject=JO.subject)
    assert scenario.call("create_payment", SHOP, NEW | {"metadata": {"order": "A-17"}})["statusCode"] == 202
    scenario.payments.rows["pay_1"] = after(scenario.payments.rows["pay_1"], Status.FAILED)
    return scenario


def retry(scenario: RestScenario, caller: Caller = SHOP, payment_id: str = "pay_1") -> dict[str, Any]:
    """POST /payments/{payment_id}/retry."""
    return scenario.call("retry_payment", caller, path={"payment_id": payment_id})


def view(scenario: RestScenario, payment_id: str) -> dict[str, Any]:
    """GET /payments/{payment_id}."""
    body: dict[str, Any] = scenario.call("get_payment", SHOP, path={"payment_id": payment_id})["body"]
    return body


@pytest.mark.parametrize(("caller", "by"), [(SHOP, "merchant"), (JO, "customer"), (ADMIN, "admin")])
def test_retry_by_one_who_may_is_accepted_and_shows_the_role(scenario: RestScenario, caller: Caller, by: str) -> None:
    answer = retry(scenario, caller)
    assert (answer["statusCode"], answer["body"]["payment_id"]) == (202, "pay_1_r2")
    assert answer["headers"]["Location"] == "/payments/pay_1_r2"
    old, new = view(scenario, "pay_1"), view(scenario, "pay_1_r2")
    assert (old["retried_as"], new["retry_of"], new["metadata"]) == ("pay_1_r2", "pay_1", {"order": "A-17"})
    assert new["history"][0]["actor"] == by
    assert scenario.payments.rows["pay_1_r2"].submitted_by == SHOP.subject
    assert scenario.workflow.started == ["pay_1", "pay_1_r2"]


def test_retry_when_repeated_then_the_same_answer(scenario: RestScenario) -> None:
    first, again = retry(scenario), retry(scenario, ADMIN)
    assert (again["statusCode"], again["body"]) == (202, first["body"])
    assert "Idempotent-Replayed" not in first["headers"]
    assert again["headers"]["Idempotent-Replayed"] == "true"


def test_retry_and_the_same_request_under_its_id_are_one_payment(scenario: RestScenario) -> None:
    retry(scenario)
    again = scenario.call("create_payment", SHOP, NEW | {"payment_id": "pay_1_r2", "metadata": {"order": "A-17"}})
    assert (again["statusCode"], again["headers"]["Idempotent-Replayed"]) == (202, "true")


@pytest.mark.fault(41)
@pytest.mark.parametrize("caller", [OTHER_SHOP, SAM, STAFF_AND_OTHER_SHOP], ids=["merchant", "customer", "operator"])
def test_retry_of_anothers_payment_is_404_as_if_unknown_and_audited(scenario: RestScenario, caller: Caller) -> None:
    refused, unknown = retry(scenario, caller), retry(scenario, caller, "there_is_none")
    assert (refused["statusCode"], refused["body"]) == (404, unknown["body"])
    assert scenario.denied == [(caller.subject, "payment", "pay_1")]
    assert set(scenario.payments.rows) == {"pay_1"}


@pytest.mark.parametrize(
    ("status", "says"),
    [
        (Status.PENDING, "wait for its outcome"),
        (Status.UNKNOWN, "it may be charged"),
        (Status.SUCCEEDED, "it was charged"),
        (Status.DECLINED, "another payment method"),
        (Status.REJECTED, "new payment_id"),
    ],
)
def test_retry_when_not_failed_then_409_with_the_status_and_why(
    scenario: RestScenario, status: Status, says: str
) -> None:
    scenario.payments.rows["pay_1"] = replace(scenario.payments.rows["pay_1"], status=status)
    answer = retry(scenario)
    assert (answer["statusCode"], answer["body"]["type"]) == (409, "urn:problem:payment-api:conflict")
    assert f"pay_1 is {status}; only a failed payment" in answer["body"]["detail"]
    assert says in answer["body"]["detail"]
    assert "Nothing was sent" in answer["body"]["detail"]


@pytest.mark.fault(90)
def test_retry_of_an_unknown_payment_starts_a_recheck_and_says_when(scenario: RestScenario) -> None:
    former = replace(scenario.payments.rows["pay_1"], status=Status.UNKNOWN)
    scenario.payments.rows["pay_1"] = former
    answer = retry(scenario)
    assert (answer["statusCode"], answer["headers"]["Retry-After"]) == (409, "60")
    assert "the gateway is asked about it now" in answer["body"]["detail"]
    assert [name.partition(".")[0] for name in scenario.workflow.reconciling] == ["pay_1"]
    scenario.payments.rows["pay_1"] = replace(former, status=Status.FAILED)
    assert retry(scenario)["statusCode"] == 202


@pytest.mark.fault(90)
def test_retry_when_the_gateway_has_a_charge_then_409_says_so(scenario: RestScenario) -> None:
    money = scenario.payments.rows["pay_1"].money
    scenario.gateway.charge(ChargeRequest("pay_1", money, "pm_card_visa", environment_id="env1"))
    answer = retry(scenario)
    assert answer["statusCode"] == 409
    assert "the gateway has a charge for payment pay_1" in answer["body"]["detail"]
    assert set(scenario.payments.rows) == {"pay_1"}


def test_retry_when_an_unrelated_payment_has_its_id_then_409(scenario: RestScenario) -> None:
    scenario.call("create_payment", ADMIN, {"payment_id": "pay_1_r2", "amount": "1", "currency": "USD"})
    answer = retry(scenario)
    assert (answer["statusCode"], "other content" in answer["body"]["detail"]) == (409, True)


@pytest.mark.parametrize(
    ("kind", "status"), [(FaultKind.NOT_SENT, 503), (FaultKind.ANSWER_LOST, 503), (FaultKind.RATE_LIMITED, 429)]
)
def test_retry_when_the_gateway_does_not_answer_then_try_later(
    scenario: RestScenario, kind: FaultKind, status: int
) -> None:
    scenario.gateway.fail(Fault(kind, call="find"))
    answer = retry(scenario)
    assert (answer["statusCode"], int(answer["headers"]["Retry-After"]) > 0) == (status, True)
    assert retry(scenario)["statusCode"] == 202


def test_retry_when_too_many_wait_for_slots_then_429(scenario: RestScenario) -> None:
    scenario.let_payments_wait(1000)
    assert retry(scenario)["statusCode"] == 429
