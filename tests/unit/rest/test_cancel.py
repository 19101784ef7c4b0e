"""POST /payments/{payment_id}/cancel: who may, what it answers, and what it never says."""

from typing import Any

import pytest

from payments.domain.identity import Caller, Role
from payments.domain.statuses import Status
from tests.unit.builders import after
from tests.unit.rest.scenario import ADMIN, JO, OTHER_SHOP, SAM, SHOP, RestScenario

NEW: dict[str, Any] = {"payment_id": "pay_1", "amount": "99.99", "currency": "USD", "customer_id": "cus_1"}


@pytest.fixture
def scenario() -> RestScenario:
    scenario = RestScenario()
    scenario.add_customer(subject=JO.subject)
    assert scenario.call("create_payment", SHOP, NEW)["statusCode"] == 202
    return scenario


def cancel(scenario: RestScenario, caller: Caller = SHOP, payment_id: str = "pay_1") -> dict[str, Any]:
    """POST /payments/{payment_id}/cancel."""
    return scenario.call("cancel_payment", caller, path={"payment_id": payment_id})


@pytest.mark.parametrize(("caller", "by"), [(SHOP, "merchant"), (JO, "customer"), (ADMIN, "admin")])
def test_cancel_by_one_who_may_rejects_it_and_shows_the_role(scenario: RestScenario, caller: Caller, by: str) -> None:
    answer = cancel(scenario, caller)
    assert (answer["statusCode"], answer["body"]["status"]) == (200, "rejected")
    assert answer["body"]["reason"]["code"] == "canceled"
    assert answer["body"]["history"][-1]["actor"] == by
    assert scenario.payments.rows["pay_1"].history[-1].actor == f"{by}:{caller.subject}"
    assert scenario.workflow.started == ["pay_1", "pay_1.c2"]


def test_cancel_when_repeated_then_the_same_view(scenario: RestScenario) -> None:
    first, again = cancel(scenario), cancel(scenario, ADMIN)
    assert (again["statusCode"], again["body"]) == (200, first["body"])
    assert "Idempotent-Replayed" not in first["headers"]
    assert again["headers"]["Idempotent-Replayed"] == "true"
    assert scenario.call("get_payment", SHOP, path={"payment_id": "pay_1"})["body"] == first["body"]


STAFF_AND_OTHER_SHOP = Caller("sub_both", frozenset({Role.OPERATOR, Role.MERCHANT}))


@pytest.mark.fault(41)
@pytest.mark.parametrize("caller", [OTHER_SHOP, SAM, STAFF_AND_OTHER_SHOP], ids=["merchant", "customer", "operator"])
def test_cancel_of_anothers_payment_is_404_as_if_unknown_and_audited(scenario: RestScenario, caller: Caller) -> None:
    refused, unknown = cancel(scenario, caller), cancel(scenario, caller, "there_is_none")
    assert (refused["statusCode"], refused["body"]) == (404, unknown["body"])
    assert scenario.denied == [(caller.subject, "payment", "pay_1")]
    assert scenario.payments.rows["pay_1"].status is Status.PENDING


@pytest.mark.parametrize(
    ("statuses", "says"),
    [
        ((Status.PROCESSING,), "it was sent to the gateway"),
        ((Status.IN_REVIEW,), "held for an operator"),
        ((Status.PROCESSING, Status.SUCCEEDED), "refund it there"),
        ((Status.REJECTED,), "ended without a charge"),
    ],
)
def test_cancel_when_not_pending_then_409_with_the_status_and_why(
    scenario: RestScenario, statuses: tuple[Status, ...], says: str
) -> None:
    row = scenario.payments.rows["pay_1"] = after(scenario.payments.rows["pay_1"], *statuses)
    answer = cancel(scenario)
    assert (answer["statusCode"], answer["body"]["type"]) == (409, "urn:problem:payment-api:conflict")
    assert f"is {statuses[-1]}, and only a pending payment" in answer["body"]["detail"]
    assert says in answer["body"]["detail"]
    assert scenario.payments.rows["pay_1"] == row


def test_cancel_of_an_invalid_id_is_404(scenario: RestScenario) -> None:
    assert cancel(scenario, payment_id="?")["statusCode"] == 404


def test_canceled_payment_sent_again_is_not_started(scenario: RestScenario) -> None:
    cancel(scenario)
    again = scenario.call("create_payment", SHOP, NEW)
    assert (again["statusCode"], again["headers"]["Idempotent-Replayed"]) == (202, "true")
    assert scenario.workflow.started == ["pay_1", "pay_1.c2"]
