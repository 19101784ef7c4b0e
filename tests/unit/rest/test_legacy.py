"""The older contract: the requests and answers of its clients, and what it never returns."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest

from payments.domain.customer import erased
from payments.domain.identity import Caller
from payments.domain.sealed_text import is_sealed
from payments.domain.statuses import Status
from payments.ports.field_encryptor import EncryptionUnavailable
from tests.unit.builders import NOON, after, payment
from tests.unit.rest.scenario import ADMIN, JO, OTHER_SHOP, SAM, SHOP, RestScenario

NEW: dict[str, Any] = {"customer_id": "cus_1", "email": "jo@example.com", "amount": 12.5, "currency": "EUR"}
KEY = {"Idempotency-Key": "order-17"}


@pytest.fixture
def scenario() -> RestScenario:
    return RestScenario()


def pay(
    scenario: RestScenario, caller: Caller = SHOP, headers: Mapping[str, str] | None = None, **more: Any
) -> dict[str, Any]:
    """POST /v1/api/payment with NEW and the given fields."""
    return scenario.call("create_payment_v1", caller, NEW | {"amount": "12.50"} | more, headers=headers)


def disbursements(
    scenario: RestScenario, caller: Caller = SHOP, query: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """GET /v1/api/payment/cus_1."""
    return scenario.call("list_customer_payments_v1", caller, path={"customer_id": "cus_1"}, query=query)


# Customers ---------------------------------------------------------------------------------------------------------


def test_v1_customer_equals_the_current_representation(scenario: RestScenario) -> None:
    body = {"customer_id": "cus_1", "email": "jo@example.com", "name": "Jo", "default_payment_method": "pm_card_visa"}
    made = scenario.call("create_customer_v1", SHOP, body)
    shown = scenario.call("get_customer_v1", SHOP, path={"customer_id": "cus_1"})

    assert (made["statusCode"], shown["statusCode"]) == (201, 200)
    assert made["body"] == shown["body"] == scenario.call("get_customer", SHOP, path={"customer_id": "cus_1"})["body"]
    assert shown["body"]["default_payment_method"] == "****visa"


@pytest.mark.fault(41)
def test_customer_when_it_is_somebody_elses_then_404_and_audited(scenario: RestScenario) -> None:
    scenario.add_customer(by=OTHER_SHOP)
    answer = scenario.call("get_customer_v1", SHOP, path={"customer_id": "cus_1"})
    assert answer == RestScenario().call("get_customer_v1", SHOP, path={"customer_id": "cus_1"})
    assert (answer["statusCode"], scenario.denied) == (404, [(SHOP.subject, "customer", "cus_1")])


# Payments ----------------------------------------------------------------------------------------------------------


def test_payment_creates_a_new_customer_and_returns_a_generated_payment_id(
    scenario: RestScenario,
) -> None:
    answer = pay(scenario)

    assert (answer["statusCode"], answer["body"]["payment_id"]) == (202, "v1_id1")
    assert answer["headers"]["Location"] == "/payments/v1_id1"
    assert (answer["body"]["status"], answer["body"]["accepted_at"]) == ("pending", "2026-11-21T12:00:00.000Z")
    row = scenario.payments.rows["v1_id1"]
    assert (row.money.minor_units, row.money.currency, row.customer_id) == (1250, "EUR", "cus_1")
    assert row.submitted_by == SHOP.subject
    customer = scenario.customers.rows["cus_1"]
    assert (customer.created_by, customer.subject) == (SHOP.subject, "")
    assert is_sealed(customer.email)
    assert scenario.encryptor.open(customer.context, customer.private)["email"] == "jo@example.com"
    assert scenario.workflow.started == ["v1_id1"]


def test_payment_when_the_customer_is_known_then_as_it_was(scenario: RestScenario) -> None:
    scenario.add_customer(name="Jo", default_payment_method="pm_card_visa")
    before = dict(scenario.customers.rows)
    assert pay(scenario, email=" JO@example.com")["statusCode"] == 202
    assert scenario.customers.rows == before


def test_payment_sent_twice_without_a_key_makes_two_for_one_customer(scenario: RestScenario) -> None:
    assert [pay(scenario)["body"]["payment_id"] for _ in range(2)] == ["v1_id1", "v1_id2"]
    assert scenario.stored == (2, 1, 0, 2)


def test_payment_when_the_email_is_another_then_409_and_nothing_stored(scenario: RestScenario) -> None:
    scenario.add_customer()
    answer = pay(scenario, email="sam@example.com")

    assert (answer["statusCode"], answer["body"]["type"]) == (409, "urn:problem:payment-api:conflict")
    assert "@" not in answer["body"]["detail"]
    assert scenario.stored == (0, 1, 0, 0)


@pytest.mark.fault(41)
def test_payment_for_anothers_customer_gives_audited_404_for_any_email(
    scenario: RestScenario,
) -> None:
    scenario.add_customer(by=OTHER_SHOP)
    right, wrong = pay(scenario), pay(scenario, email="sam@example.com")

    assert right == wrong
    assert (right["statusCode"], scenario.stored) == (404, (0, 1, 0, 0))
    assert scenario.denied == [(SHOP.subject, "customer", "cus_1")] * 2


def test_payment_for_an_erased_customer_gives_409_and_does_not_recreate_it(scenario: RestScenario) -> None:
    scenario.add_customer()
    scenario.customers.save(erased(scenario.customers.rows["cus_1"], at=NOON))
    answer = pay(scenario)
    assert (answer["statusCode"], "was erased" in answer["body"]["detail"]) == (409, True)
    assert scenario.stored == (0, 1, 0, 0)
    assert scenario.customers.rows["cus_1"].email == ""


@pytest.mark.fault(45)
def test_payment_when_the_key_cannot_be_used_then_nothing_is_stored(scenario: RestScenario) -> None:
    scenario.encryptor.available = False
    with pytest.raises(EncryptionUnavailable):
        pay(scenario)
    assert scenario.stored == (0, 0, 0, 0)


# Rejected requests ---------------------------------------------------------------------------------------------


def refused(answer: dict[str, Any]) -> dict[str, str]:
    """The refused fields of a 400, each with its sentence."""
    assert answer["statusCode"] == 400
    return {error["field"]: error["message"] for error in answer["body"]["errors"]}


def test_payment_names_all_missing_unknown_and_invalid_fields_at_once(scenario: RestScenario) -> None:
    body = {"customer_id": "?", "amount": "1", "currency": "euro", "colour": "red", "Role": "admin"}
    errors = refused(scenario.call("create_payment_v1", SHOP, body))

    assert errors.keys() == {"customer_id", "currency", "colour", "email", "field"}
    needed = "customer_id, email, amount, currency"
    assert errors["email"] == f"email is missing; required: {needed}"
    assert errors["colour"] == f"unknown field; allowed: {needed}"
    assert scenario.stored == (0, 0, 0, 0)


def test_payment_when_nothing_is_given_then_all_four_are_named(scenario: RestScenario) -> None:
    answer = scenario.call("create_payment_v1", SHOP, {})
    fields = [error["field"] for error in answer["body"]["errors"]]
    assert fields == ["customer_id", "email", "amount", "currency"]


@pytest.mark.parametrize("field", ["payment_id", "payment_method", "token", "metadata", "subject", "name", "hold"])
def test_payment_when_it_brings_a_field_of_the_newer_contract_then_refused(scenario: RestScenario, field: str) -> None:
    more: Any = {field: "x_1"}
    assert refused(pay(scenario, **more)).keys() == {field}
    assert scenario.stored == (0, 0, 0, 0)


@pytest.mark.parametrize("field", ["customer_id", "email", "amount", "currency"])
@pytest.mark.parametrize("value", [None, "", [], {}, True])
def test_payment_when_a_field_is_nothing_then_refused_and_named_once(
    scenario: RestScenario, field: str, value: Any
) -> None:
    answer = pay(scenario, **{field: value})
    assert [error["field"] for error in answer["body"]["errors"]] == [field]


# The idempotency key -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["Idempotency-Key", "idempotency-key"])
def test_payment_when_sent_again_under_its_key_then_the_same_payment_once(scenario: RestScenario, name: str) -> None:
    first = pay(scenario, headers={name: "order-17"})
    again = scenario.call(
        "create_payment_v1", SHOP, NEW | {"amount": "12.50"}, headers=KEY, at=NOON + timedelta(days=30)
    )

    assert (again["statusCode"], again["headers"]["Idempotent-Replayed"]) == (202, "true")
    assert again["body"] == first["body"]
    assert scenario.stored == (1, 1, 0, 1)


def test_payment_when_another_sends_the_same_key_then_another_payment(scenario: RestScenario) -> None:
    mine = pay(scenario, headers=KEY)
    theirs = pay(scenario, OTHER_SHOP, headers=KEY, customer_id="cus_2")
    assert (mine["statusCode"], theirs["statusCode"]) == (202, 202)
    assert mine["body"]["payment_id"] != theirs["body"]["payment_id"]
    assert [row.submitted_by for row in scenario.payments.rows.values()] == [SHOP.subject, OTHER_SHOP.subject]


def test_payment_when_subject_and_key_are_cut_elsewhere_then_not_the_same() -> None:
    ids = set()
    for subject, key in (("shop", "a-1"), ("shop-a", "1"), ("shopa", "-1")):
        answer = pay(RestScenario(), Caller(subject, SHOP.roles), headers={"Idempotency-Key": key})
        ids.add(answer["body"]["payment_id"])
    assert len(ids) == 3


def test_payment_with_a_changed_amount_under_its_key_gives_409_with_advice(scenario: RestScenario) -> None:
    pay(scenario, headers=KEY)
    answer = pay(scenario, headers=KEY, amount="13")
    assert answer["statusCode"] == 409
    assert "under a new payment_id or Idempotency-Key" in answer["body"]["detail"]
    assert [row.money.minor_units for row in scenario.payments.rows.values()] == [1250]


@pytest.mark.parametrize("key", ["", "a b", "x" * 65, "order/17", "naïve"])
def test_payment_when_the_key_is_no_key_then_400_names_the_header(scenario: RestScenario, key: str) -> None:
    assert refused(pay(scenario, headers={"Idempotency-Key": key})).keys() == {"Idempotency-Key"}
    assert scenario.stored == (0, 0, 0, 0)


def test_payment_id_made_from_a_key_never_looks_like_a_card_number() -> None:
    scenario = RestScenario(per_customer=5000)
    answers = [pay(scenario, headers={"Idempotency-Key": f"key-{n}"}) for n in range(4000)]
    assert {answer["statusCode"] for answer in answers} == {202}


# Disbursements -----------------------------------------------------------------------------------------------------


def test_disbursements_are_newest_first_with_every_legacy_field(scenario: RestScenario) -> None:
    pay(scenario)
    scenario.payments.create(
        after(
            payment("pay_2", method="", customer_id="cus_1", amount=1000, currency="JPY"),
            at=NOON,
        )
    )
    answer = disbursements(scenario, ADMIN)

    assert answer["statusCode"] == 200
    assert answer["body"] == {
        "disbursements": [
            {
                "payment_id": "v1_id1",
                "date": "2026-11-21T12:00:00.000Z",
                "amount": 12.5,
                "currency": "EUR",
                "payment_method": "",
                "email": "jo@example.com",
                "status": "pending",
            },
            {
                "payment_id": "pay_2",
                "date": "2026-11-21T12:00:00.000Z",
                "amount": 1000,
                "currency": "JPY",
                "payment_method": "",
                "email": "jo@example.com",
                "status": "pending",
            },
        ]
    }


def test_disbursements_when_a_method_was_chosen_then_masked(scenario: RestScenario) -> None:
    pay(scenario)
    sealed: Any = scenario.encryptor.seal({"payment_id": "v1_id1"}, {"payment_method": "pm_card_mastercard"})
    scenario.payments.save(after(scenario.payments.rows["v1_id1"], Status.PROCESSING, **sealed))

    [disbursement] = disbursements(scenario)["body"]["disbursements"]

    assert (disbursement["payment_method"], disbursement["status"]) == ("****", "processing")


def test_disbursements_decrypt_the_customer_and_no_row(scenario: RestScenario) -> None:
    for n in range(3):
        scenario.call("create_payment_v1", SHOP, NEW, at=NOON + n * timedelta(seconds=1))
        payment_id = f"v1_id{n + 1}"
        sealed: Any = scenario.encryptor.seal({"payment_id": payment_id}, {"payment_method": "pm_card_visa"})
        scenario.payments.save(after(scenario.payments.rows[payment_id], Status.PROCESSING, **sealed))
    before = scenario.encryptor.calls
    assert len(disbursements(scenario)["body"]["disbursements"]) == 3
    assert scenario.encryptor.calls - before == 1


def test_disbursements_when_there_are_more_then_in_pages(scenario: RestScenario) -> None:
    for n in range(5):
        scenario.call("create_payment_v1", SHOP, NEW | {"amount": "12.50"}, at=NOON + n * timedelta(seconds=1))
    seen: list[str] = []
    query = {"limit": "2"}
    for size in (2, 2, 1):
        page = disbursements(scenario, query=query)["body"]
        assert len(page["disbursements"]) == size
        seen += [disbursement["payment_id"] for disbursement in page["disbursements"]]
        query["cursor"] = page.get("next_cursor", "")
    assert query["cursor"] == ""
    assert seen == ["v1_id5", "v1_id4", "v1_id3", "v1_id2", "v1_id1"]


def test_disbursements_when_a_parameter_is_wrong_then_400_names_it(scenario: RestScenario) -> None:
    scenario.add_customer()
    assert refused(disbursements(scenario, query={"limit": "0"})).keys() == {"limit"}


def test_disbursements_when_there_is_none_then_an_empty_list(scenario: RestScenario) -> None:
    scenario.add_customer(subject=JO.subject)
    assert disbursements(scenario, JO)["body"] == {"disbursements": []}


@pytest.mark.fault(41)
@pytest.mark.parametrize("caller", [OTHER_SHOP, SAM])
def test_disbursements_of_another_owners_customer_give_an_audited_404(scenario: RestScenario, caller: Caller) -> None:
    pay(scenario)
    answer = disbursements(scenario, caller)
    assert answer == disbursements(RestScenario(), caller)
    assert (answer["statusCode"], scenario.denied) == (404, [(caller.subject, "customer", "cus_1")])


def test_disbursements_when_a_merchant_asks_then_its_own_alone(scenario: RestScenario) -> None:
    scenario.call(
        "create_payment", OTHER_SHOP, {"payment_id": "p2", "amount": 1, "currency": "EUR", "customer_id": "cus_1"}
    )
    pay(scenario)
    assert [found["payment_id"] for found in disbursements(scenario)["body"]["disbursements"]] == ["v1_id1"]
