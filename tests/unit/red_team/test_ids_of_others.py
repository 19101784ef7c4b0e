"""Ids of others: no caller takes, blocks or reads what another caller's next id will name, at any entrance."""

from collections.abc import Callable
from typing import Any

import pytest

from payments.application.id_rules import IdRules
from payments.domain.identity import Caller, Role
from payments.domain.merchants import Merchant, Merchants, own_customer_id
from payments.domain.payment import CUSTOMER_ID
from payments.domain.statuses import Status
from tests.unit.builders import after
from tests.unit.rest.scenario import ADMIN, JO, OPERATOR, OTHER_SHOP, SHOP, RestScenario

PREFIXES = Merchants([Merchant("shop", "sh_", SHOP.subject), Merchant("partner", "pt_", "sub_partner")])
PARTNER = Caller("sub_partner", frozenset({Role.MERCHANT}))
OWN_OF_JO = own_customer_id(JO.issuer, JO.subject)


@pytest.fixture
def scenario() -> RestScenario:
    return RestScenario(merchants=PREFIXES)


def pay(scenario: RestScenario, caller: Caller, payment_id: str, **more: Any) -> dict[str, Any]:
    """POST /payments."""
    return scenario.call("create_payment", caller, {"payment_id": payment_id, "amount": 1, "currency": "EUR"} | more)


def pay_v1(scenario: RestScenario, caller: Caller, customer_id: str) -> dict[str, Any]:
    """POST /v1/api/payment."""
    body = {"customer_id": customer_id, "email": "jo@example.com", "amount": 1, "currency": "EUR"}
    return scenario.call("create_payment_v1", caller, body)


def create(scenario: RestScenario, caller: Caller, customer_id: str) -> dict[str, Any]:
    """POST /customers."""
    return scenario.call("create_customer", caller, {"customer_id": customer_id, "email": "jo@example.com"})


def create_v1(scenario: RestScenario, caller: Caller, customer_id: str) -> dict[str, Any]:
    """POST /v1/api/customer."""
    return scenario.call("create_customer_v1", caller, {"customer_id": customer_id, "email": "jo@example.com"})


def name_customer(scenario: RestScenario, caller: Caller, customer_id: str) -> dict[str, Any]:
    """POST /payments for a customer; the payment's own id has the prefix of the caller."""
    own = PREFIXES.reserves("", caller.subject).rpartition(" ")[2]
    return pay(scenario, caller, f"{own}p_{customer_id}", customer_id=customer_id)


def fields(answer: dict[str, Any]) -> list[str]:
    return [error["field"] for error in answer["body"].get("errors", [])]


Entrance = Callable[[RestScenario, Caller, str], dict[str, Any]]
ENTRANCES: dict[str, Entrance] = {
    "payment": pay,
    "customer": create,
    "older customer": create_v1,
    "older payment": pay_v1,
    "named customer": name_customer,
}
"""The ways in which a request can name a new id."""


# Squatting ---------------------------------------------------------------------------------------------------------


@pytest.mark.fault(70)
@pytest.mark.parametrize("operation", ["create_customer", "create_customer_v1"])
@pytest.mark.parametrize("field", ["customer_id", "email"])
def test_stranger_cannot_choose_an_id_or_an_address(scenario: RestScenario, operation: str, field: str) -> None:
    before = scenario.stored
    for value in ("cus_next", "sh_next", "victim@example.com", OWN_OF_JO):
        answer = scenario.call(operation, JO, {field: value})
        assert (answer["statusCode"], fields(answer)) == (400, [field])
    assert scenario.stored == before


@pytest.mark.fault(70)
def test_stranger_neither_blocks_nor_burns_nor_reads_a_merchants_next_id(scenario: RestScenario) -> None:
    for operation in ("create_customer", "create_customer_v1"):
        scenario.call(operation, JO, {"customer_id": "sh_next", "email": "jo@example.com"})
    assert scenario.call("delete_customer", JO, path={"customer_id": "sh_next"})["statusCode"] == 404
    assert create(scenario, SHOP, "sh_next")["statusCode"] == 201
    assert pay(scenario, SHOP, "sh_1", customer_id="sh_next", description="private")["statusCode"] == 202
    for operation, path in (("get_payment", {"payment_id": "sh_1"}), ("get_customer", {"customer_id": "sh_next"})):
        assert scenario.call(operation, JO, path=path)["statusCode"] == 404


@pytest.mark.fault(70)
def test_stranger_does_not_see_payments_for_an_id_that_is_not_stored(scenario: RestScenario) -> None:
    pay(scenario, ADMIN, "pay_1", customer_id="cus_later", description="private")
    made = scenario.call("create_customer", JO, {})
    assert made["body"]["customer_id"] == OWN_OF_JO
    assert scenario.call("get_payment", JO, path={"payment_id": "pay_1"})["statusCode"] == 404


def test_registrations_of_strangers_do_not_hide_a_customer_in_the_search(scenario: RestScenario) -> None:
    for number in range(45):
        stranger = Caller(f"sub_{number}", frozenset({Role.CUSTOMER}), issuer="https://a", email="other@example.com")
        scenario.call("create_customer", stranger, {"email": "victim@example.com"})
        scenario.call("create_customer", stranger, {})
        own = own_customer_id("https://a", stranger.subject)
        scenario.call("update_customer", stranger, {"email": "victim@example.com"}, path={"customer_id": own})
    scenario.call("create_customer", SHOP, {"customer_id": "sh_victim", "email": "victim@example.com"})
    found = scenario.call("find_customers", OPERATOR, query={"email": "victim@example.com"})["body"]
    assert [customer["customer_id"] for customer in found["customers"]] == ["sh_victim"]
    assert found["complete"]


@pytest.mark.parametrize("caller", [SHOP, OTHER_SHOP, PARTNER, ADMIN])
@pytest.mark.parametrize("entrance", [create, create_v1, pay_v1])
def test_id_that_the_service_will_make_for_a_person_cannot_be_taken(
    scenario: RestScenario, entrance: Entrance, caller: Caller
) -> None:
    answer = entrance(scenario, caller, OWN_OF_JO)
    assert (answer["statusCode"], fields(answer)) == (400, ["customer_id"])
    assert scenario.call("create_customer", JO, {})["statusCode"] == 201
    assert entrance(scenario, caller, OWN_OF_JO)["statusCode"] in ((400, 404) if caller is not ADMIN else (202, 409))


def test_id_of_a_person_differs_by_issuer_subject_and_erasures() -> None:
    ids = [
        own_customer_id("https://a", "jo"),
        own_customer_id("https://b", "jo"),
        own_customer_id("https://a", "sam"),
        own_customer_id("https://a", "jo", 1),
        own_customer_id("https://a\njo", ""),
        own_customer_id("", "https://a\njo"),
    ]
    assert len(set(ids[:4])) == 4
    assert all(CUSTOMER_ID.fullmatch(one) for one in ids)


def test_only_a_merchant_or_an_admin_ties_a_payment_to_a_person(scenario: RestScenario) -> None:
    scenario.call("create_customer", JO, {})
    assert name_customer(scenario, OTHER_SHOP, OWN_OF_JO)["statusCode"] == 400
    assert name_customer(scenario, ADMIN, OWN_OF_JO)["statusCode"] == 202
    assert create(scenario, SHOP, "sh_jo")["statusCode"] == 201
    made = scenario.call(
        "create_customer", SHOP, {"customer_id": "sh_of_jo", "email": "jo@example.com", "subject": "sub_jo"}
    )
    assert made["statusCode"] == 201
    assert scenario.call("get_customer", JO, path={"customer_id": "sh_of_jo"})["statusCode"] == 200
    assert scenario.call("get_customer", JO, path={"customer_id": "sh_jo"})["statusCode"] == 404


@pytest.mark.fault(70)
def test_erased_customer_of_another_is_taken_as_a_live_one_is() -> None:
    scenario = RestScenario()
    for customer_id in ("cus_1", "cus_2"):
        create(scenario, SHOP, customer_id)
    assert scenario.call("delete_customer", SHOP, path={"customer_id": "cus_1"})["statusCode"] == 204
    for entrance in (create, create_v1, pay_v1):
        erased_one, live = (entrance(scenario, OTHER_SHOP, customer_id) for customer_id in ("cus_1", "cus_2"))
        assert erased_one == live
        assert erased_one["statusCode"] in (404, 409)
    assert len(scenario.denied) == 6


# Retries ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("caller", [OTHER_SHOP, Caller("another", frozenset({Role.MERCHANT}))])
def test_id_of_a_retry_cannot_be_taken_from_the_payments_submitter(caller: Caller) -> None:
    scenario = RestScenario()
    assert pay(scenario, SHOP, "pay_1")["statusCode"] == 202
    row = scenario.payments.rows["pay_1"]
    scenario.payments.rows["pay_1"] = after(row, Status.PROCESSING, Status.FAILED)
    taken = pay(scenario, caller, "pay_1_r2")
    assert (taken["statusCode"], "pay_1_r2" in scenario.payments.rows) == (409, False)
    assert scenario.call("retry_payment", SHOP, path={"payment_id": "pay_1"})["statusCode"] == 202
    assert scenario.payments.rows["pay_1_r2"].submitted_by == SHOP.subject


@pytest.mark.parametrize("retry_id", ["pay_1_r3", "pay_1_r4", "pay_1_r9999"])
def test_id_of_a_later_retry_cannot_be_taken_either(retry_id: str) -> None:
    scenario = RestScenario()
    assert pay(scenario, SHOP, "pay_1")["statusCode"] == 202
    assert pay(scenario, OTHER_SHOP, retry_id)["statusCode"] == 409
    assert pay(scenario, SHOP, retry_id)["statusCode"] == 202


# Prefixes ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("entrance", ENTRANCES)
@pytest.mark.parametrize(
    ("caller", "prefix", "admitted"),
    [
        (SHOP, "sh_", True),
        (SHOP, "pt_", False),
        (SHOP, "SH_", False),
        (SHOP, "", False),
        (PARTNER, "pt_", True),
        (PARTNER, "sh_", False),
        (OTHER_SHOP, "", True),
        (OTHER_SHOP, "sh_", False),
        (OTHER_SHOP, "Sh_", False),
        (OTHER_SHOP, "pt_", False),
        (ADMIN, "", True),
        (ADMIN, "sh_", True),
        (ADMIN, "pt_", True),
    ],
)
def test_prefix_admits_its_merchant_and_admins_at_every_entrance(
    scenario: RestScenario, entrance: str, caller: Caller, prefix: str, admitted: bool
) -> None:
    before = scenario.stored
    answer = ENTRANCES[entrance](scenario, caller, f"{prefix}x_1")
    if admitted:
        assert answer["statusCode"] in (201, 202)
        return
    field = "payment_id" if entrance == "payment" else "customer_id"
    assert (answer["statusCode"], fields(answer)) == (400, [field])
    assert scenario.stored == before


@pytest.mark.parametrize("subject", ["", "sub_shop ", "SUB_SHOP", "oidc|sub_shop"])
def test_prefix_is_bound_to_the_merchants_own_subject(scenario: RestScenario, subject: str) -> None:
    answer = pay(scenario, Caller(subject, frozenset({Role.MERCHANT})), "sh_1")
    assert (answer["statusCode"], fields(answer)) == (400, ["payment_id"])


@pytest.mark.parametrize("payment_id", ["v1_0", "V1_0", f"v1_{'0' * 40}"])
@pytest.mark.parametrize("caller", [SHOP, OTHER_SHOP, ADMIN])
def test_ids_of_the_older_route_are_made_by_it_alone(scenario: RestScenario, caller: Caller, payment_id: str) -> None:
    answer = pay(scenario, caller, payment_id)
    assert (answer["statusCode"], fields(answer)) == (400, ["payment_id"])
    made = pay_v1(scenario, SHOP, "sh_1")
    assert (made["statusCode"], made["body"]["payment_id"][:3]) == (202, "v1_")


def test_ids_that_exist_keep_working_for_their_owner_alone() -> None:
    scenario = RestScenario()
    assert create(scenario, SHOP, "cus_old")["statusCode"] == 201
    assert pay(scenario, SHOP, "pay_old", customer_id="cus_old")["statusCode"] == 202
    made = pay_v1(scenario, SHOP, "cus_old")["body"]["payment_id"]
    object.__setattr__(scenario.services, "ids", IdRules(PREFIXES, scenario.payments, scenario.customers))

    again = pay(scenario, SHOP, "pay_old", customer_id="cus_old")
    assert (again["statusCode"], again["headers"]["Idempotent-Replayed"]) == (202, "true")
    assert pay(scenario, SHOP, "sh_new", customer_id="cus_old")["statusCode"] == 202
    assert create(scenario, SHOP, "cus_old")["statusCode"] == 200
    assert scenario.call("get_payment", SHOP, path={"payment_id": made})["statusCode"] == 200
    row = scenario.payments.rows["pay_old"]
    scenario.payments.rows["pay_old"] = after(row, Status.PROCESSING, Status.FAILED)
    assert pay(scenario, SHOP, "pay_old_r2", customer_id="cus_old")["statusCode"] == 202
    there, missing = (pay(scenario, PARTNER, one) for one in ("pay_old", "pay_none"))
    assert there == missing
    assert there["statusCode"] == 400


def test_reserved_id_gets_the_same_answer_whether_it_exists_or_not(scenario: RestScenario) -> None:
    assert pay(scenario, SHOP, "sh_1")["statusCode"] == 202
    assert create(scenario, SHOP, "sh_1")["statusCode"] == 201
    for caller in (OTHER_SHOP, PARTNER):
        for entrance in (pay, create):
            there, missing = (entrance(scenario, caller, one) for one in ("sh_1", "sh_2"))
            assert there == missing
