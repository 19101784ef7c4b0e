"""Refunds over REST: who may request, approve and read them, and what is refused."""

from dataclasses import replace
from typing import Any

import pytest

from payments.domain.clock import iso
from payments.domain.identity import Caller, Role
from payments.domain.merchants import Merchant, Merchants
from payments.domain.refund_approval import ApprovalLimits
from payments.domain.statuses import Status
from payments.ports.payment_store import require
from tests.unit.builders import NOON, after
from tests.unit.rest.scenario import ADMIN, JO, OPERATOR, OTHER_SHOP, SHOP, RestScenario

BODY = {"refund_id": "ref_1", "amount": 40.00, "reason": "requested_by_customer", "metadata": {"order": "A-17"}}
PATH = {"payment_id": "pay_1"}


def paid(scenario: RestScenario, payment_id: str = "pay_1", *statuses: Status) -> None:
    asked = {"payment_id": payment_id, "amount": "99.99", "currency": "USD", "payment_method": "pm_card_visa"}
    assert scenario.call("create_payment", SHOP, asked)["statusCode"] == 202
    for status in statuses or (Status.PROCESSING, Status.SUCCEEDED):
        scenario.payments.save(after(require(scenario.payments, payment_id), status, at=NOON))


@pytest.fixture
def scenario() -> RestScenario:
    scenario = RestScenario()
    paid(scenario)
    return scenario


def refund(scenario: RestScenario, caller: Any = SHOP, **more: Any) -> dict[str, Any]:
    body = {name: value for name, value in (BODY | more).items() if value is not None}
    return scenario.call("create_refund", caller, body, path=PATH)


@pytest.mark.parametrize("caller", [SHOP, ADMIN])
def test_refund_is_accepted_for_the_owning_merchant_and_admins(scenario: RestScenario, caller: Any) -> None:
    answer = refund(scenario, caller)

    assert (answer["statusCode"], answer["headers"]["Location"]) == (202, "/refunds/ref_1")
    body = answer["body"]
    assert (body["status"], body["amount"], body["metadata"]) == ("pending", 40.0, {"order": "A-17"})
    assert body["history"][0]["actor"] == ("admin" if caller is ADMIN else "merchant")
    assert list(scenario.refund_workflow.started) == ["ref_1"]
    assert require(scenario.payments, "pay_1").reserved_minor_units == 4000


@pytest.mark.fault(80)
def test_same_refund_again_is_202_and_other_content_409(scenario: RestScenario) -> None:
    first, again = refund(scenario), refund(scenario, amount="40.00")
    other = refund(scenario, amount=41)

    assert again["body"] == first["body"]
    assert again["headers"]["Idempotent-Replayed"] == "true"
    assert (other["statusCode"], other["body"]["type"]) == (409, "urn:problem:payment-api:conflict")
    assert len(scenario.refunds.rows) == 1


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"amount": "1.234"}, "amount"),
        ({"amount": -1}, "amount"),
        ({"reason": "bored"}, "reason"),
        ({"refund_id": None}, "refund_id"),
        ({"refund_id": "re_1"}, "refund_id"),
        ({"refund_id": "RE_1"}, "refund_id"),
        ({"currency": "USD"}, "field"),
    ],
)
def test_wrong_field_is_400_and_named(scenario: RestScenario, body: dict[str, Any], field: str) -> None:
    answer = refund(scenario, **body)

    assert answer["statusCode"] == 400
    assert [error["field"] for error in answer["body"]["errors"]] == [field]
    assert scenario.refunds.rows == {}


@pytest.mark.fault(40)
@pytest.mark.parametrize(
    ("statuses", "says"),
    [
        ((Status.PROCESSING,), "only a captured payment can be refunded"),
        ((Status.PROCESSING, Status.SUCCEEDED, Status.DISPUTED), "is disputed"),
        ((Status.PROCESSING, Status.SUCCEEDED, Status.REFUNDED), "nothing of payment pay_1 is left"),
    ],
)
def test_refund_that_is_not_possible_is_409_with_the_reason(statuses: tuple[Status, ...], says: str) -> None:
    scenario = RestScenario()
    paid(scenario, "pay_1", *statuses)

    answer = refund(scenario)

    assert answer["statusCode"] == 409
    assert says in answer["body"]["detail"]
    assert scenario.refunds.rows == {}


@pytest.mark.fault(38)
def test_second_refund_of_more_than_is_left_is_409(scenario: RestScenario) -> None:
    refund(scenario, refund_id="ref_1", amount=60)

    answer = refund(scenario, refund_id="ref_2", amount=60)

    assert answer["statusCode"] == 409
    assert "60.00 USD is more than what is left of payment pay_1, which is 39.99 USD" in answer["body"]["detail"]


@pytest.mark.fault(41)
def test_refund_of_another_merchants_payment_is_404_and_audited(scenario: RestScenario) -> None:
    refund(scenario)

    assert refund(scenario, OTHER_SHOP, refund_id="ref_2")["statusCode"] == 404
    assert scenario.call("list_payment_refunds", OTHER_SHOP, path=PATH)["statusCode"] == 404
    assert scenario.call("get_refund", OTHER_SHOP, path={"refund_id": "ref_1"})["statusCode"] == 404
    assert scenario.denied[-1] == ("sub_other_shop", "refund", "ref_1")
    assert refund(scenario, ADMIN, refund_id="ref_2")["statusCode"] == 202


def test_unknown_payment_and_refund_are_404(scenario: RestScenario) -> None:
    unknown = scenario.call("create_refund", ADMIN, BODY, path={"payment_id": "pay_9"})

    assert unknown["statusCode"] == 404
    for refund_id in ("ref_9", "../x"):
        assert scenario.call("get_refund", OPERATOR, path={"refund_id": refund_id})["statusCode"] == 404


@pytest.mark.parametrize("caller", [SHOP, ADMIN, OPERATOR])
def test_refunds_are_read_by_staff_and_the_owning_merchant(scenario: RestScenario, caller: Any) -> None:
    made = refund(scenario)["body"]

    assert scenario.call("get_refund", caller, path={"refund_id": "ref_1"})["body"] == made
    assert scenario.call("list_payment_refunds", caller, path=PATH)["body"] == {"refunds": [made]}


def test_refunds_of_a_day_are_listed_by_status_in_pages(scenario: RestScenario) -> None:
    for number in range(3):
        refund(scenario, refund_id=f"ref_{number}", amount=1)
    query = {"status": "pending", "day": iso(NOON)[:10], "limit": "2"}

    first = scenario.call("list_refunds", OPERATOR, query=query)["body"]
    second = scenario.call("list_refunds", OPERATOR, query=query | {"cursor": first["next_cursor"]})["body"]

    assert [row["refund_id"] for row in first["refunds"] + second["refunds"]] == ["ref_2", "ref_1", "ref_0"]
    assert "next_cursor" not in second
    assert scenario.call("list_refunds", OPERATOR, query={"status": "failed"})["body"] == {"refunds": []}


@pytest.mark.parametrize(
    "query",
    [
        {},
        {"status": "refunded"},
        {"status": "failed", "day": "today"},
        {"status": "failed", "day": "2026-02-31"},
        {"status": "failed", "limit": "0"},
        {"status": "failed", "cursor": "x"},
        {"status": "failed", "colour": "red"},
    ],
)
def test_wrong_parameter_of_the_list_is_400(scenario: RestScenario, query: dict[str, str]) -> None:
    assert scenario.call("list_refunds", OPERATOR, query=query)["statusCode"] == 400


def test_id_with_a_merchants_prefix_is_for_that_merchant() -> None:
    scenario = RestScenario(merchants=Merchants([Merchant("other", "ot_", OTHER_SHOP.subject)]))
    paid(scenario)

    assert refund(scenario, SHOP, refund_id="ot_1")["statusCode"] == 400
    assert refund(scenario, ADMIN, refund_id="ot_1")["statusCode"] == 202
    assert refund(scenario, SHOP, refund_id="ot_1")["statusCode"] == 202  # it is a refund of its own payment


def test_customer_sees_no_refund_of_another(scenario: RestScenario) -> None:
    refund(scenario)

    assert scenario.call("get_refund", JO, path={"refund_id": "ref_1"})["statusCode"] == 404


OTHER_ADMIN = Caller("sub_other_admin", frozenset({Role.ADMIN}))


@pytest.fixture
def above(scenario: RestScenario) -> RestScenario:
    """As `scenario`, with an approval above 30 USD."""
    limits = ApprovalLimits.parse("USD=30")
    refunds = replace(scenario.services.refunds, needs_approval=limits.needs_approval)
    scenario.services = replace(scenario.services, refunds=refunds)
    return scenario


def decided(scenario: RestScenario, verb: str, caller: Caller, refund_id: str = "ref_1") -> dict[str, Any]:
    return scenario.call(f"{verb}_refund", caller, path={"refund_id": refund_id})


@pytest.mark.parametrize(("verb", "status", "reserved"), [("approve", "pending", 4000), ("reject", "rejected", 0)])
def test_another_admin_decides_and_may_repeat_it(above: RestScenario, verb: str, status: str, reserved: int) -> None:
    assert refund(above, ADMIN)["body"]["status"] == "pending_approval"

    first, again = decided(above, verb, OTHER_ADMIN), decided(above, verb, OTHER_ADMIN)

    assert (first["statusCode"], first["body"]["status"], again["body"]) == (200, status, first["body"])
    assert again["headers"]["Idempotent-Replayed"] == "true"
    assert [change["actor"] for change in first["body"]["history"]] == ["admin", "admin"]
    assert require(above.payments, "pay_1").reserved_minor_units == reserved
    assert list(above.refund_workflow.started) == ["ref_1", "ref_1.v2"]


@pytest.mark.fault(84)
@pytest.mark.parametrize("verb", ["approve", "reject"])
def test_admin_who_requested_a_refund_cannot_decide_and_is_recorded(above: RestScenario, verb: str) -> None:
    refund(above, ADMIN)

    answer = decided(above, verb, ADMIN)

    assert (answer["statusCode"], "another admin" in answer["body"]["detail"]) == (403, True)
    assert above.denied[-1] == (ADMIN.subject, "refund", "ref_1")
    assert above.refunds.rows["ref_1"].version == 1


def test_merchant_who_is_an_admin_too_cannot_approve_its_own_refund(above: RestScenario) -> None:
    refund(above, SHOP)
    both = replace(SHOP, roles=SHOP.roles | {Role.ADMIN})

    assert decided(above, "approve", both)["statusCode"] == 403
    assert decided(above, "approve", ADMIN)["statusCode"] == 200


def test_decision_after_another_one_is_409_and_unknown_refunds_404(above: RestScenario) -> None:
    refund(above, SHOP)
    decided(above, "reject", ADMIN)

    answer = decided(above, "approve", OTHER_ADMIN)

    assert answer["statusCode"] == 409
    assert "refund ref_1 was rejected already" in answer["body"]["detail"]
    for refund_id in ("ref_9", "../x"):
        assert decided(above, "approve", ADMIN, refund_id)["statusCode"] == 404


def test_refund_that_waits_is_202_again_and_listed(above: RestScenario) -> None:
    first, again = refund(above), refund(above)

    assert (again["statusCode"], again["body"]) == (202, first["body"])
    query = {"status": "pending_approval", "day": iso(NOON)[:10]}
    assert above.call("list_refunds", OPERATOR, query=query)["body"]["refunds"] == [first["body"]]
