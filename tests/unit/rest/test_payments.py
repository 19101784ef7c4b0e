"""Payments over REST: ownership, data that is never shown, and data that is never accepted."""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
import yaml

from lib.package import ROOT
from payments.application.hold import REMEMBERED_FOR
from payments.application.velocity import CARD_TESTING, MOST_CARDS, MerchantLimits, Source
from payments.domain.batch.switch import Switch, SwitchState
from payments.domain.batch_breaker import PausedBy
from payments.domain.clock import iso
from payments.domain.customer import erased
from payments.domain.identity import Caller, Role
from payments.domain.payment import SENDER, moved
from payments.domain.sealed_text import is_sealed
from payments.domain.statuses import Status
from payments.ports.field_encryptor import EncryptionUnavailable
from payments.rest.http import MAX_BODY_BYTES, Problem, json_body
from payments.rest.payments import NEW_FOR
from tests.unit.builders import NOON, after, batch_payment, payment
from tests.unit.rest.scenario import (
    ADMIN,
    IP,
    JO,
    MOST_IN_AN_OUTAGE,
    OPERATOR,
    OTHER_SHOP,
    REQUEST_ID,
    SAM,
    SHOP,
    RestScenario,
)

CONTRACT: dict[str, Any] = yaml.safe_load((ROOT / "api" / "openapi.yaml").read_text())
CARD = "4242424242424242"
NEW: dict[str, Any] = {"payment_id": "pay_1", "amount": "99.99", "currency": "USD"}
UNKNOWN = "no payment has this payment_id; check it, or submit it with POST /payments"


@pytest.fixture
def scenario() -> RestScenario:
    return RestScenario()


def submit(scenario: RestScenario, caller: Caller = SHOP, **more: Any) -> dict[str, Any]:
    """POST /payments with NEW and the given fields."""
    return scenario.call("create_payment", caller, NEW | more)


def get(scenario: RestScenario, caller: Caller = SHOP, payment_id: str = "pay_1") -> dict[str, Any]:
    """GET /payments/{payment_id}."""
    return scenario.call("get_payment", caller, path={"payment_id": payment_id})


# Submit ------------------------------------------------------------------------------------------------------------


def test_create_payment_stores_the_hash_of_its_searchable_metadata() -> None:
    scenario = RestScenario()
    body = {"payment_id": "pay_m", "amount": 5, "currency": "USD", "metadata": {"order": "A-17", "shop": "1"}}
    assert scenario.call("create_payment", SHOP, body)["statusCode"] == 202

    row = scenario.payments.rows["pay_m"]
    assert row.metadata_hash == scenario.services.searchable.hash_of_value("A-17")
    found = scenario.call("list_payments", OPERATOR, query={"metadata": "order:A-17"})
    assert [shown["payment_id"] for shown in found["body"]["payments"]] == ["pay_m"]


def test_payment_when_submitted_then_stored_started_and_202_with_its_place(scenario: RestScenario) -> None:
    answer = submit(scenario, metadata={"order": "A-17"}, payment_method="pm_card_visa")

    assert (answer["statusCode"], answer["headers"]["Location"]) == (202, "/payments/pay_1")
    assert "Idempotent-Replayed" not in answer["headers"]
    assert answer["body"] == {
        "payment_id": "pay_1",
        "status": "pending",
        "accepted_at": "2026-11-21T12:00:00.000Z",
        "links": {"self": "/payments/pay_1"},
    }
    row = scenario.payments.rows["pay_1"]
    assert (row.submitted_by, row.correlation_id, row.hold) == (SHOP.subject, REQUEST_ID, "")
    assert is_sealed(row.payment_method)
    assert is_sealed(row.metadata["order"])
    assert scenario.workflow.started == ["pay_1"]


def test_payment_when_sent_again_then_the_same_answer_and_nothing_new(scenario: RestScenario) -> None:
    first = submit(scenario)
    again = scenario.call("create_payment", SHOP, NEW, at=NOON + timedelta(days=1))

    assert (again["statusCode"], again["headers"]["Idempotent-Replayed"]) == (202, "true")
    assert (again["body"], again["headers"]["Location"]) == (first["body"], first["headers"]["Location"])
    assert scenario.stored == (1, 0, 0, 1)


def test_payment_repeated_by_an_admin_gets_the_answer_of_its_submitter(scenario: RestScenario) -> None:
    first = submit(scenario)
    assert submit(scenario, ADMIN)["body"] == first["body"]
    assert scenario.payments.rows["pay_1"].submitted_by == SHOP.subject


@pytest.mark.fault(89)
@pytest.mark.parametrize("state", SwitchState)
def test_payment_of_a_held_batch_is_not_started_by_a_request(scenario: RestScenario, state: SwitchState) -> None:
    scenario.payments.rows["pay_1"] = batch_payment()
    scenario.services.hold.switch_of = lambda row: Switch(state) if row.batch_id else Switch()
    body = {"payment_id": "pay_1", "amount": "99.99", "currency": "USD", "payment_method": "pm_card_visa"}
    answer = scenario.call("create_payment", ADMIN, body)
    assert (answer["statusCode"], answer["headers"]["Idempotent-Replayed"]) == (202, "true")
    assert scenario.workflow.started == (["pay_1"] if state is SwitchState.RUNNING else [])


def test_payment_stored_without_a_submitter_is_replayed_for_admins_alone(scenario: RestScenario) -> None:
    scenario.payments.create(payment(method=""))
    assert submit(scenario)["statusCode"] == 409
    assert submit(scenario, ADMIN)["headers"]["Idempotent-Replayed"] == "true"


@pytest.mark.parametrize("amount", ["99.99", "1"], ids=["the same content", "other content"])
def test_payment_id_of_another_merchant_gives_409_without_its_details(scenario: RestScenario, amount: str) -> None:
    submit(scenario, description="secret tea", customer_id="cus_of_shop")
    before = scenario.payments.rows["pay_1"]

    answer = submit(scenario, OTHER_SHOP, description="secret tea", customer_id="cus_of_shop", amount=amount)

    assert (answer["statusCode"], answer["body"]["type"]) == (409, "urn:problem:payment-api:conflict")
    assert answer["body"]["detail"] == (
        "payment_id pay_1 belongs to a payment with other content; nothing was changed. "
        "Send a new payment under a new payment_id or Idempotency-Key."
    )
    assert "errors" not in answer["body"]
    assert scenario.payments.rows == {"pay_1": before}


def test_payment_when_its_submitter_sends_other_content_then_409(scenario: RestScenario) -> None:
    submit(scenario)
    assert submit(scenario, amount="1")["statusCode"] == 409
    assert scenario.payments.rows["pay_1"].money.minor_units == 9999


def test_payment_with_invalid_fields_names_them_all_and_stores_nothing(scenario: RestScenario) -> None:
    answer = submit(scenario, amount="1.234", customer_id="?", colour="red")

    assert (answer["statusCode"], answer["body"]["type"]) == (400, "urn:problem:payment-api:invalid-request")
    assert {error["field"] for error in answer["body"]["errors"]} == {"amount", "customer_id", "colour"}
    assert scenario.stored == (0, 0, 0, 0)


@pytest.mark.fault(42)
@pytest.mark.parametrize("claim", ["role", "roles", "x-roles", "cognito:groups", "submitted_by", "hold", "subject"])
def test_role_when_claimed_in_the_body_then_no_such_field_is_known(scenario: RestScenario, claim: str) -> None:
    answer = scenario.call("create_payment", SHOP, NEW | {claim: "admin"})
    assert (answer["statusCode"], scenario.stored) == (400, (0, 0, 0, 0))


@pytest.mark.fault(42)
def test_subject_when_claimed_in_a_header_then_the_tokens_counts(scenario: RestScenario) -> None:
    headers = {"X-Subject": OTHER_SHOP.subject, "X-Roles": "admin", "Role": "admin"}
    scenario.call("create_payment", SHOP, NEW, headers=headers)

    assert scenario.payments.rows["pay_1"].submitted_by == SHOP.subject
    answer = scenario.call("get_payment", OTHER_SHOP, path={"payment_id": "pay_1"}, headers={"X-Roles": "admin"})
    assert answer["statusCode"] == 404


@pytest.mark.fault(45)
def test_payment_when_the_key_cannot_be_used_then_nothing_is_stored(scenario: RestScenario) -> None:
    scenario.encryptor.available = False
    with pytest.raises(EncryptionUnavailable):
        submit(scenario, payment_method="pm_card_visa")
    assert scenario.stored == (0, 0, 0, 0)


def test_payment_when_it_has_no_private_field_then_no_key_is_needed(scenario: RestScenario) -> None:
    scenario.encryptor.available = False
    assert submit(scenario)["statusCode"] == 202


# Limits ------------------------------------------------------------------------------------------------------------


def test_payment_over_the_customer_limit_gives_429_with_retry_after() -> None:
    scenario = RestScenario(per_customer=2)
    for n in range(2):
        submit(scenario, payment_id=f"pay_{n}", customer_id="cus_1")

    at = NOON + timedelta(seconds=18)
    answer = scenario.call("create_payment", OTHER_SHOP, NEW | {"payment_id": "pay_3", "customer_id": "cus_1"}, at=at)

    assert (answer["statusCode"], answer["headers"]["Retry-After"]) == (429, "42")
    assert scenario.stored[0] == 2
    assert submit(scenario, payment_id="pay_4", customer_id="cus_2")["statusCode"] == 202
    assert submit(scenario, payment_id="pay_5")["statusCode"] == 202


@pytest.mark.fault(65)
def test_new_payment_beyond_the_backlog_limit_gives_429_and_stores_nothing(scenario: RestScenario) -> None:
    scenario.let_payments_wait(345)
    answer = submit(scenario)
    assert (answer["statusCode"], answer["headers"]["Retry-After"]) == (429, "46")
    assert answer["body"]["type"].endswith(":throttled")
    assert scenario.stored == (0, 0, 0, 0)


@pytest.mark.fault(65)
def test_retry_after_of_a_backlog_just_over_its_limit_is_half_a_minute(scenario: RestScenario) -> None:
    scenario.let_payments_wait(301)
    assert submit(scenario)["headers"]["Retry-After"] == "30"


@pytest.mark.fault(65)
def test_payment_within_the_backlog_limit_is_accepted(scenario: RestScenario) -> None:
    scenario.let_payments_wait(299)
    assert submit(scenario)["statusCode"] == 202


@pytest.mark.fault(65)
def test_known_payment_beyond_the_backlog_limit_is_answered_as_before(scenario: RestScenario) -> None:
    submit(scenario)
    scenario.let_payments_wait(900)
    again = submit(scenario)
    assert (again["statusCode"], again["headers"]["Idempotent-Replayed"]) == (202, "true")
    assert submit(scenario, amount="1.00")["statusCode"] == 409


@pytest.mark.fault(65)
def test_payment_turned_away_does_not_count_as_a_card_of_its_source(scenario: RestScenario) -> None:
    scenario.let_payments_wait(900)
    assert submit(scenario, customer_id="cus_1", payment_method="pm_1")["statusCode"] == 429
    assert (scenario.counters.hits, scenario.counters.members) == ({}, {})


@pytest.mark.fault(86)
@pytest.mark.parametrize("operator", [False, True])
def test_new_payments_in_an_outage_are_accepted_up_to_the_limit(scenario: RestScenario, operator: bool) -> None:
    if operator:
        scenario.breaker.pause(PausedBy.OPERATOR, "month-end", NOON)
    scenario.breaker.pause(PausedBy.OUTAGE, "gateway_unreachable: no connection", NOON)
    accepted = [submit(scenario, payment_id=f"pay_{number}")["statusCode"] for number in range(MOST_IN_AN_OUTAGE)]
    stored = scenario.stored
    answer = submit(scenario, payment_id="pay_more")
    assert accepted == [202] * MOST_IN_AN_OUTAGE
    assert (answer["statusCode"], answer["headers"]["Retry-After"]) == (503, "60")
    assert answer["body"]["type"].endswith(":unavailable")
    assert scenario.stored == stored
    assert submit(scenario, payment_id="pay_0")["statusCode"] == 202  # known, and answered as before
    scenario.breaker.resume_gateway(NOON)
    scenario.now += REMEMBERED_FOR
    assert submit(scenario, payment_id="pay_more")["statusCode"] == 202


@pytest.mark.fault(86)
def test_an_operators_pause_of_batches_turns_no_rest_payment_away(scenario: RestScenario) -> None:
    scenario.breaker.pause(PausedBy.OPERATOR, "month-end", NOON)
    answers = [submit(scenario, payment_id=f"pay_{number}")["statusCode"] for number in range(MOST_IN_AN_OUTAGE + 1)]
    assert answers == [202] * (MOST_IN_AN_OUTAGE + 1)


@pytest.mark.fault(86)
def test_pending_payment_in_an_outage_says_why_it_waits_and_how_long(scenario: RestScenario) -> None:
    submit(scenario)
    assert "waiting" not in get(scenario)["body"]
    row = moved(scenario.payments.rows["pay_1"], Status.PROCESSING, at=NOON, actor=SENDER)
    why = {"code": "gateway_unreachable", "message": "no connection"}
    scenario.payments.rows["pay_1"] = moved(row, Status.PENDING, at=NOON, actor=SENDER, **why)
    fails_at = iso(NOON + timedelta(days=1))
    assert get(scenario)["body"]["waiting"] == {
        **why,
        "next_attempt_at": iso(NOON + timedelta(minutes=5)),
        "fails_at": fails_at,
    }
    scenario.breaker.pause(PausedBy.OUTAGE, "gateway_unreachable: no connection", NOON)
    scenario.now += REMEMBERED_FOR
    waiting = get(scenario)["body"]["waiting"]
    assert (waiting["code"], waiting["fails_at"]) == ("gateway_unreachable", fails_at)
    assert "sent when the gateway accepts payments again" in waiting["message"]
    assert "next_attempt_at" not in waiting


def try_cards(scenario: RestScenario, how_many: int) -> list[str]:
    """Small payments, each on another card. Returns the codes of their holds."""
    for n in range(how_many):
        submit(scenario, payment_id=f"pay_{n}", amount="1", customer_id="cus_1", payment_method=f"pm_{n}")
    return [scenario.payments.rows[f"pay_{n}"].hold for n in range(how_many)]


@pytest.mark.fault(43)
def test_payment_when_one_card_too_many_then_its_row_is_held(scenario: RestScenario) -> None:
    most = MOST_CARDS[Source.CUSTOMER].small
    assert try_cards(scenario, most + 2) == [""] * most + [CARD_TESTING] * 2
    assert scenario.workflow.started[-1] == f"pay_{most + 1}"  # the workflow sends it to review


@pytest.mark.fault(43)
def test_payment_sent_again_counts_its_card_once_and_keeps_its_hold(
    scenario: RestScenario,
) -> None:
    most = MOST_CARDS[Source.CUSTOMER].small
    try_cards(scenario, most)
    assert try_cards(scenario, most) == [""] * most
    assert try_cards(scenario, most + 1)[-1] == CARD_TESTING
    assert try_cards(scenario, most + 1) == [""] * most + [CARD_TESTING]


@pytest.mark.fault(43)
def test_payment_when_it_comes_by_token_then_the_token_is_the_card(scenario: RestScenario) -> None:
    most = MOST_CARDS[Source.CUSTOMER].small
    for n in range(most + 1):
        submit(scenario, payment_id=f"pay_{n}", amount="1", customer_id="cus_1", token=f"ptok_{n:043}")
    holds = [row.hold for row in scenario.payments.rows.values()]
    assert holds == [""] * most + [CARD_TESTING]


@pytest.mark.fault(43)
def test_payment_when_each_card_is_another_new_customers_default_then_held(scenario: RestScenario) -> None:
    most = MerchantLimits().small
    for n in range(most + 2):
        scenario.add_customer(f"cus_{n}", default_payment_method=f"pm_{n:03}")
        submit(scenario, payment_id=f"pay_{n}", amount="1", customer_id=f"cus_{n}")
    assert [row.hold for row in scenario.payments.rows.values()] == [""] * most + [CARD_TESTING] * 2


def test_payment_on_a_card_long_on_file_is_never_held(scenario: RestScenario) -> None:
    for n in range(MerchantLimits().small + 2):
        scenario.add_customer(f"cus_{n}", default_payment_method=f"pm_{n:03}")
        body = NEW | {"payment_id": f"pay_{n}", "amount": "1", "customer_id": f"cus_{n}"}
        assert scenario.call("create_payment", SHOP, body, at=NOON + NEW_FOR)["statusCode"] == 202
    assert {row.hold for row in scenario.payments.rows.values()} == {""}


def test_payment_is_still_replayed_once_another_owner_has_its_customer(scenario: RestScenario) -> None:
    assert submit(scenario, customer_id="cus_1")["statusCode"] == 202
    scenario.add_customer("cus_1", by=OTHER_SHOP)

    answer = submit(scenario, customer_id="cus_1")

    assert (answer["statusCode"], answer["headers"]["Idempotent-Replayed"]) == (202, "true")
    assert submit(scenario, customer_id="cus_1", amount="1")["statusCode"] == 404
    assert submit(scenario, OTHER_SHOP, customer_id="cus_1")["statusCode"] == 409
    assert submit(scenario, payment_id="pay_2", customer_id="cus_1")["statusCode"] == 404


# Ownership -------------------------------------------------------------------------------------------------------


def test_get_when_its_submitter_asks_then_all_of_it_in_plain_text(scenario: RestScenario) -> None:
    submit(scenario, metadata={"order": "A-17"}, payment_method="pm_card_visa", description="tea")
    row = scenario.payments.rows["pay_1"]
    sealed: Any = scenario.encryptor.seal({"payment_id": "pay_1"}, {"gateway_reference": "pi_1"})
    scenario.payments.save(after(row, Status.PROCESSING))
    scenario.payments.save(
        after(scenario.payments.rows["pay_1"], Status.SUCCEEDED, gateway="stripe", **sealed),
    )

    answer = get(scenario)

    assert answer["statusCode"] == 200
    assert answer["body"]["metadata"] == {"order": "A-17"}
    assert answer["body"]["references"] == {
        "gateway": "stripe",
        "gateway_reference": "pi_1",
        "correlation_id": REQUEST_ID,
    }
    assert not any(hidden in json.dumps(answer) for hidden in ("pm_card_visa", "sealed.v1", "sub_shop"))


OF_JO: dict[str, Any] = {"customer_id": "cus_1"}
SEES = {"admin": ADMIN, "operator": OPERATOR, "its merchant": SHOP, "the person": JO}
SEES_NOT = {
    "another merchant": OTHER_SHOP,
    "another person": SAM,
    "the person as a merchant": Caller(JO.subject, frozenset({Role.MERCHANT})),
    "the merchant as a person": Caller(SHOP.subject, frozenset({Role.CUSTOMER})),
    "an empty subject": Caller("", frozenset({Role.MERCHANT, Role.CUSTOMER})),
    "the submitter without a role": Caller(SHOP.subject, frozenset()),
}


@pytest.mark.parametrize("caller", SEES.values(), ids=SEES)
def test_get_when_it_is_theirs_then_shown_and_nothing_to_audit(scenario: RestScenario, caller: Caller) -> None:
    scenario.add_customer(subject=JO.subject)
    submit(scenario, **OF_JO)
    assert get(scenario, caller)["body"]["customer_id"] == "cus_1"
    assert scenario.denied == []


@pytest.mark.fault(41)
@pytest.mark.parametrize("caller", SEES_NOT.values(), ids=SEES_NOT)
def test_payment_of_another_owner_gives_an_audited_404_as_if_missing(scenario: RestScenario, caller: Caller) -> None:
    scenario.add_customer(subject=JO.subject)
    submit(scenario, **OF_JO)

    answer = get(scenario, caller)

    assert answer == RestScenario().call("get_payment", ADMIN, path={"payment_id": "pay_1"})
    assert (answer["statusCode"], answer["body"]["detail"]) == (404, UNKNOWN)
    [entry] = scenario.access_log.entries
    assert (entry.kind, entry.resource_id, entry.subject) == ("payment", "pay_1", caller.subject)
    assert (entry.at, entry.operation) == ("2026-11-21T12:00:00.000Z", "get_payment")
    assert (entry.ip, entry.correlation_id) == (IP, REQUEST_ID)


@pytest.mark.parametrize("payment_id", ["pay_9", "", "../customers/cus_1", "x" * 3000, CARD])
def test_get_when_there_is_none_then_404_and_nothing_to_audit(scenario: RestScenario, payment_id: str) -> None:
    answer = get(scenario, SHOP, payment_id)
    assert (answer["statusCode"], answer["body"]["detail"]) == (404, UNKNOWN)
    assert scenario.denied == []


@pytest.mark.fault(41)
@pytest.mark.parametrize("customer_id", ["cus_ownerless", "cus_unknown", ""])
def test_payment_without_an_owning_subject_is_hidden_from_customers(scenario: RestScenario, customer_id: str) -> None:
    scenario.add_customer("cus_ownerless", by=SHOP, subject="")
    submit(scenario, customer_id=customer_id)
    for person in (JO, Caller("", frozenset({Role.CUSTOMER}))):
        assert get(scenario, person)["statusCode"] == 404


@pytest.mark.fault(41)
@pytest.mark.parametrize("caller", [SHOP, Caller("", frozenset({Role.MERCHANT}))])
def test_payment_without_a_submitter_is_visible_to_staff_only(scenario: RestScenario, caller: Caller) -> None:
    scenario.payments.create(payment())
    assert get(scenario, caller)["statusCode"] == 404
    assert get(scenario, OPERATOR)["statusCode"] == 200


def test_payment_is_hidden_from_an_erased_customer_but_not_its_merchant(
    scenario: RestScenario,
) -> None:
    scenario.add_customer(subject=JO.subject)
    submit(scenario, **OF_JO)
    scenario.customers.save(erased(scenario.customers.rows["cus_1"], at=NOON))
    assert get(scenario, JO)["statusCode"] == 404
    assert get(scenario, SHOP)["statusCode"] == 200


# The named customer --------------------------------------------------------------------------------------------------


@pytest.mark.fault(41)
def test_payment_for_another_owners_customer_gives_an_audited_404(
    scenario: RestScenario,
) -> None:
    scenario.add_customer(by=OTHER_SHOP, default_payment_method="pm_card_visa")

    answer = submit(scenario, customer_id="cus_1")

    assert answer["statusCode"] == 404
    assert answer["body"]["detail"] == "you have no customer with this customer_id; check it, or leave it out"
    assert scenario.stored == (0, 1, 0, 0)
    assert scenario.denied == [(SHOP.subject, "customer", "cus_1")]


@pytest.mark.parametrize("caller", [SHOP, ADMIN])
def test_payment_when_it_names_its_submitters_customer_then_taken(scenario: RestScenario, caller: Caller) -> None:
    scenario.add_customer(by=SHOP)
    assert submit(scenario, caller, customer_id="cus_1")["statusCode"] == 202


@pytest.mark.parametrize("gone", [False, True], ids=["never stored", "erased"])
def test_payment_when_it_names_a_customer_that_is_not_there_then_taken(scenario: RestScenario, gone: bool) -> None:
    if gone:
        scenario.add_customer(by=OTHER_SHOP)
        scenario.customers.save(erased(scenario.customers.rows["cus_1"], at=NOON))
    assert submit(scenario, customer_id="cus_1")["statusCode"] == 202
    assert scenario.denied == []


def test_list_shows_a_merchant_only_payments_it_submitted_for_its_customer(
    scenario: RestScenario,
) -> None:
    submit(scenario, OTHER_SHOP, payment_id="pay_other", customer_id="cus_1")
    scenario.add_customer(by=SHOP, subject=JO.subject)
    submit(scenario, customer_id="cus_1")

    def listed(caller: Caller) -> list[str]:
        answer = scenario.call("list_customer_payments", caller, path={"customer_id": "cus_1"})
        return sorted(payment["payment_id"] for payment in answer["body"]["payments"])

    assert listed(SHOP) == ["pay_1"]
    assert listed(JO) == listed(OPERATOR) == ["pay_1", "pay_other"]


# Card data ---------------------------------------------------------------------------------------------------------


VALID: dict[str, dict[str, Any]] = {
    "create_payment": NEW,
    "create_customer": {"customer_id": "cus_1", "email": "jo@example.com"},
    "update_customer": {"name": "Jo"},
    "create_token": {"customer_id": "cus_1", "payment_method": "pm_card_visa"},
    "create_customer_v1": {"customer_id": "cus_1", "email": "jo@example.com"},
    "create_payment_v1": {"customer_id": "cus_1", "email": "jo@example.com", "amount": "1", "currency": "EUR"},
    "create_refund": {"refund_id": "ref_1", "amount": "1"},
}
"""Operation → a valid body."""
EXISTING = {"customer_id": "cus_1", "payment_id": "pay_paid"}
CARDS = {"a number": CARD, "a number with blanks": "4242 4242 4242 4242", "a code": "cvv 123"}


def prepare(scenario: RestScenario, operation: str) -> None:
    """Store what the operation's body is about."""
    if operation in ("update_customer", "create_token"):
        scenario.add_customer()
    if operation == "create_refund":
        paid = replace(payment("pay_paid"), submitted_by=SHOP.subject)
        scenario.payments.rows["pay_paid"] = after(paid, Status.PROCESSING, Status.SUCCEEDED)


def contracts_bodies() -> dict[str, list[str]]:
    """Operation with a body → the fields that it has in the contract."""
    fields = {}
    for operations in CONTRACT["paths"].values():
        for operation in operations.values():
            for content in operation.get("requestBody", {}).get("content", {}).values():
                if "$ref" in content["schema"]:
                    schema = CONTRACT["components"]["schemas"][content["schema"]["$ref"].rpartition("/")[2]]
                    fields[operation["operationId"]] = list(schema["properties"])
    return fields


def places(operation: str, fields: list[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every place of a body where card data may stand, and the body with it: "@" stands for the data."""
    for field in fields:
        if field == "metadata":
            yield "metadata value", {field: {"note": "@"}}
            yield "metadata key", {field: {"@": "note"}}
            yield "metadata deep", {field: {"a": [{"b": {"c": "order @"}}]}}
        else:
            yield field, {field: "@"}
            yield f"{field} nested", {field: [{"a": "@"}]}
    yield "an unknown field", {"note": "@"}
    yield "a field's name", {"@": "note"}


@pytest.mark.fault(44)
@pytest.mark.parametrize("looks", CARDS)
@pytest.mark.parametrize(
    ("operation", "more"),
    [
        pytest.param(operation, more, id=f"{operation}, {place}")
        for operation, fields in contracts_bodies().items()
        for place, more in places(operation, fields)
    ],
)
def test_card_data_anywhere_in_a_body_is_refused_and_not_repeated(
    scenario: RestScenario, operation: str, more: dict[str, Any], looks: str
) -> None:
    prepare(scenario, operation)
    before, stored = dict(scenario.customers.rows), scenario.stored
    body = VALID[operation] | json.loads(json.dumps(more).replace("@", CARDS[looks]))

    answer = scenario.call(operation, SHOP, body, path=EXISTING)

    assert answer["statusCode"] == 400
    assert answer["body"]["errors"]
    assert CARDS[looks] not in json.dumps(answer)
    assert (scenario.stored, scenario.customers.rows) == (stored, before)


@pytest.mark.fault(44)
@pytest.mark.parametrize("operation", VALID)
def test_bodies_when_they_hold_no_card_data_then_taken(scenario: RestScenario, operation: str) -> None:
    prepare(scenario, operation)
    answer = scenario.call(operation, SHOP, VALID[operation], path=EXISTING)
    assert answer["statusCode"] in (200, 201, 202)


@pytest.mark.fault(44)
def test_operations_when_they_take_a_body_then_all_are_tried() -> None:
    assert contracts_bodies().keys() == VALID.keys()


@pytest.mark.fault(44)
@pytest.mark.parametrize(
    ("operation", "field"),
    [("create_payment", "amount"), ("create_payment_v1", "amount"), ("create_token", "metadata")],
)
def test_card_number_as_a_json_number_is_refused_and_not_repeated(
    scenario: RestScenario, operation: str, field: str
) -> None:
    answer = scenario.call(operation, SHOP, VALID[operation] | {field: int(CARD)})
    assert answer["statusCode"] == 400
    assert "looks like a card number" in str(answer["body"]["errors"])
    assert CARD not in json.dumps(answer)


def test_refused_payments_return_problems_without_private_data(scenario: RestScenario) -> None:
    private: dict[str, Any] = {
        "customer_id": "cus_1",
        "payment_method": "pm_card_visa",
        "metadata": {"mail": "jo@example.com"},
        "description": "for jo@example.com",
    }
    scenario.add_customer()
    submit(scenario, **private)
    answers = [
        submit(scenario, OTHER_SHOP, **private),
        submit(scenario, **private | {"amount": "1"}),
        submit(scenario, **private | {"payment_method": "pm-jo@example.com"}),
        submit(scenario, **private | {"payment_method": "", "token": "ptok_short"}),
        submit(scenario, **private | {"metadata": {"mail": "sealed.v1.jo@example.com"}}),
        submit(scenario, **private | {"description": "\x07 jo@example.com"}),
        get(scenario, OTHER_SHOP),
    ]
    assert [answer["statusCode"] for answer in answers] == [404, 409, 400, 400, 400, 400, 404]
    for answer in answers:
        assert {"type", "title", "status", "detail", "instance"} <= answer["body"].keys()
        assert not any(text in json.dumps(answer) for text in ("jo@", "pm_card", "pm-jo", "ptok_short", "sealed.v1.jo"))


def test_body_when_longer_than_is_taken_then_413_says_how_long() -> None:
    with pytest.raises(Problem, match=str(MAX_BODY_BYTES)) as refused:
        json_body({"body": "{" + " " * MAX_BODY_BYTES + "}"})
    assert refused.value.status == 413


@pytest.mark.parametrize(
    ("caller", "code"),
    [(JO, "generic_decline"), (SHOP, "stolen_card"), (OPERATOR, "stolen_card"), (ADMIN, "stolen_card")],
)
def test_stolen_card_is_shown_to_all_but_its_payer(scenario: RestScenario, caller: Caller, code: str) -> None:
    scenario.add_customer(subject=JO.subject)
    submit(scenario, customer_id="cus_1")
    row = scenario.payments.rows["pay_1"]
    row = after(row, Status.PROCESSING)
    scenario.payments.save(row)
    scenario.payments.save(after(row, Status.DECLINED, code="stolen_card", message="stolen"))

    answer = scenario.call("get_payment", caller, path={"payment_id": "pay_1"})

    assert answer["body"]["reason"]["code"] == code
    assert ("stolen" in str(answer)) == (code == "stolen_card")
