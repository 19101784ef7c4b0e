"""The fraud rule over REST: whose address counts, what a payer learns, and what an erasure leaves."""

import re
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from payments.application.retry import refusal_of_retry
from payments.application.review import decide
from payments.application.velocity import CARD_TESTING, MOST_CARDS, MerchantLimits, Source
from payments.domain.clock import parse_iso
from payments.domain.fraud_hold import Verdict
from payments.domain.identity import Caller
from payments.domain.payment import SENDER, Payment, moved
from payments.domain.sealed_text import is_sealed
from payments.domain.statuses import Status
from payments.rest.customers import MOST_ERASED
from tests.unit.builders import NOON
from tests.unit.rest.scenario import ADMIN, IP, JO, SHOP, RestScenario

ADDRESS = "203.0.113.7"


@pytest.fixture
def scenario() -> RestScenario:
    """A customer of Jo's, whom the shop knows too."""
    scenario = RestScenario()
    scenario.add_customer(subject=JO.subject)
    return scenario


def pay(scenario: RestScenario, number: int, caller: Caller = SHOP, **more: Any) -> dict[str, Any]:
    """A small payment on a card of its own."""
    body = {"payment_id": f"pay_{number}", "amount": "1.00", "currency": "USD", "payment_method": f"pm_{number}"}
    return scenario.call("create_payment", caller, body | more)


def holds(scenario: RestScenario) -> list[bool]:
    return [bool(row.hold) for row in scenario.payments.rows.values()]


def held(scenario: RestScenario) -> Payment:
    """A payment of Jo's that a fraud rule holds, as the record step leaves it."""
    pay(scenario, 1, customer_id="cus_1")
    row = replace(scenario.payments.rows["pay_1"], hold=CARD_TESTING)
    message = "a fraud rule holds the payment; an operator decides"
    row = moved(row, Status.IN_REVIEW, at=NOON, actor="workflow", code=CARD_TESTING, message=message)
    scenario.payments.rows["pay_1"] = row
    return row


def seen(scenario: RestScenario, caller: Caller, payment_id: str = "pay_1") -> dict[str, Any]:
    body: dict[str, Any] = scenario.call("get_payment", caller, path={"payment_id": payment_id})["body"]
    return body


# Whose address counts ------------------------------------------------------------------------------------------------


@pytest.mark.fault(72)
def test_address_of_a_merchants_server_is_never_counted(scenario: RestScenario) -> None:
    for n in range(40):
        pay(scenario, n, amount="4.90", currency="EUR")
    assert not any(holds(scenario))
    assert not [name for name in scenario.counters.members if name.startswith("cards#ip#")]


@pytest.mark.fault(72)
def test_address_that_a_merchant_gives_is_counted_sealed_and_shown_to_it(scenario: RestScenario) -> None:
    most = MOST_CARDS[Source.ADDRESS].small
    for n in range(most + 2):
        pay(scenario, n, client_ip=ADDRESS, customer_id="cus_1" if n == 0 else f"cus_x{n}")
    assert holds(scenario) == [False] * most + [True] * 2
    row = scenario.payments.rows["pay_0"]
    assert is_sealed(row.client_ip)
    assert ADDRESS not in str(scenario.counters.members)
    assert seen(scenario, SHOP, "pay_0")["client_ip"] == ADDRESS
    assert "client_ip" not in seen(scenario, JO, "pay_0")


@pytest.mark.fault(72)
def test_address_of_the_caller_given_as_a_buyers_counts_as_none(scenario: RestScenario) -> None:
    for n in range(MerchantLimits().small):
        pay(scenario, n, client_ip=IP)
    assert not any(holds(scenario))


@pytest.mark.fault(72)
def test_buyer_who_calls_is_counted_by_address_and_by_subject(scenario: RestScenario) -> None:
    most = MOST_CARDS[Source.CUSTOMER].small
    for n in range(most + 1):
        assert pay(scenario, n, JO, customer_id=f"cus_other{n}")["statusCode"] == 202
    assert holds(scenario) == [False] * most + [True]
    assert any(name.startswith("cards#ip#") for name in scenario.counters.members)


@pytest.mark.fault(72)
def test_buyer_who_gives_an_address_is_refused(scenario: RestScenario) -> None:
    answer = pay(scenario, 1, JO, client_ip=ADDRESS)
    assert (answer["statusCode"], answer["body"]["errors"][0]["field"]) == (400, "client_ip")
    assert scenario.payments.rows == {}


def test_payment_in_the_absence_of_its_buyer_counts_nothing_for_a_merchant(scenario: RestScenario) -> None:
    for n in range(2 * MerchantLimits().small):
        pay(scenario, n, off_session=True)
    assert not any(holds(scenario))
    for n in range(100, 100 + MOST_CARDS[Source.CUSTOMER].small + 1):
        pay(scenario, n, JO, off_session=True)  # a buyer may say so of every payment
    assert holds(scenario)[-1]


def test_same_payment_from_another_address_is_the_same_payment(scenario: RestScenario) -> None:
    pay(scenario, 1, client_ip=ADDRESS)
    again = pay(scenario, 1, client_ip="198.51.100.7")
    assert (again["statusCode"], again["headers"]["Idempotent-Replayed"]) == (202, "true")


# What a payer learns -------------------------------------------------------------------------------------------------


@pytest.mark.fault(43)
def test_payer_of_a_held_payment_sees_it_pending(scenario: RestScenario) -> None:
    pay(scenario, 2, customer_id="cus_1")
    held(scenario)
    ordinary, hidden = seen(scenario, JO, "pay_2"), seen(scenario, JO)
    for view in (ordinary, hidden):
        view.pop("payment_id")
        view.pop("links")
    assert hidden == ordinary
    assert seen(scenario, SHOP)["reason"]["code"] == CARD_TESTING
    assert seen(scenario, ADMIN)["status"] == Status.IN_REVIEW


@pytest.mark.fault(43)
def test_payer_of_an_expired_hold_sees_a_charge_that_took_its_time(scenario: RestScenario) -> None:
    later = NOON + timedelta(hours=72)
    decide(held(scenario), Verdict.EXPIRED, by="workflow", message="", store=scenario.payments, at=later)
    first, again = seen(scenario, JO), seen(scenario, JO)
    assert first == again
    pending, sent, declined = (parse_iso(change["at"]) for change in first["history"])
    assert timedelta(milliseconds=100) < declined - sent < timedelta(seconds=5)
    assert (pending < sent, declined) == (True, later)
    assert first["updated_at"] == first["history"][-1]["at"]


@pytest.mark.fault(43)
@pytest.mark.parametrize(
    ("operation", "rows"), [("list_customer_payments", "payments"), ("list_customer_payments_v1", "disbursements")]
)
def test_list_by_status_shows_a_payer_what_the_payment_shows(scenario: RestScenario, operation: str, rows: str) -> None:
    held(scenario)
    pay(scenario, 2, customer_id="cus_1")
    sent = moved(scenario.payments.rows["pay_2"], Status.PROCESSING, at=NOON, actor=SENDER)
    scenario.payments.rows["pay_2"] = sent

    def listed(status: str, caller: Caller = JO) -> list[tuple[str, str]]:
        body = scenario.call(operation, caller, path={"customer_id": "cus_1"}, query={"status": status})["body"]
        return [(row["payment_id"], row["status"]) for row in body[rows]]

    assert listed("pending") == [("pay_1", "pending")]
    assert listed("in_review") == []
    assert listed("processing") == [("pay_2", "processing")]
    assert listed("in_review", SHOP) == [("pay_1", "in_review")]


@pytest.mark.fault(43)
@pytest.mark.parametrize("verdict", [None, Verdict.REJECTED, Verdict.EXPIRED])
def test_refused_retry_tells_its_payer_no_hold(scenario: RestScenario, verdict: Verdict | None) -> None:
    row = held(scenario)
    if verdict:
        decide(row, verdict, by="operator:jo", message="a tester", store=scenario.payments, at=NOON)
    pay(scenario, 3, customer_id="cus_1", payment_id="pay_1_r2")
    retry = scenario.payments.rows["pay_1_r2"]
    refused = refusal_of_retry(
        retry, store=scenario.payments, gateway=scenario.gateway, environment_id="env1", clock=lambda: NOON
    )
    assert refused
    scenario.payments.rows["pay_1_r2"] = moved(
        retry, refused.status, at=NOON, actor="workflow", code=refused.code, message=refused.message
    )
    reported = seen(scenario, JO, "pay_1_r2")
    assert reported["reason"]["code"] == reported["history"][-1]["reason"]["code"] == "retry_refused"
    assert not {*Status} & set(re.findall(r"[a-z_]+", str(reported["reason"]) + str(reported["history"][-1]["reason"])))
    assert str(scenario.payments.rows["pay_1"].status) in seen(scenario, SHOP, "pay_1_r2")["reason"]["message"]


@pytest.mark.fault(43)
@pytest.mark.parametrize("verdict", [Verdict.REJECTED, Verdict.EXPIRED])
def test_payer_of_a_rejected_payment_sees_what_a_declined_one_shows(scenario: RestScenario, verdict: Verdict) -> None:
    decide(held(scenario), verdict, by="operator:jo", message="a tester", store=scenario.payments, at=NOON)
    pay(scenario, 2, customer_id="cus_1")
    sent = moved(scenario.payments.rows["pay_2"], Status.PROCESSING, at=NOON, actor=SENDER, gateway="stripe")
    scenario.payments.rows["pay_2"] = moved(
        sent, Status.DECLINED, at=NOON, actor="workflow", code="stolen_card", message="stolen", gateway_reference="pi_1"
    )
    hidden, declined = seen(scenario, JO), seen(scenario, JO, "pay_2")
    for view in (hidden, declined):
        view.pop("payment_id")
        view.pop("links")
    assert hidden == declined
    assert hidden["reason"]["code"] == "generic_decline"
    assert seen(scenario, SHOP)["reason"] == {"code": verdict, "message": "a tester"}


@pytest.mark.fault(43)
@pytest.mark.parametrize("verdict", [Verdict.APPROVED, Verdict.RELEASED])
def test_payer_of_a_released_payment_sees_an_ordinary_one(scenario: RestScenario, verdict: Verdict) -> None:
    decide(held(scenario), verdict, by="operator:jo", message="known", store=scenario.payments, at=NOON)
    view = seen(scenario, JO)
    assert [change["status"] for change in view["history"]] == ["pending"]
    assert "reason" not in view


@pytest.mark.fault(43)
def test_lists_of_a_payer_show_and_find_what_the_payment_shows(scenario: RestScenario) -> None:
    row = held(scenario)

    def listed(caller: Caller, **query: str) -> list[tuple[str, str]]:
        path = {"customer_id": "cus_1"}
        found = scenario.call("list_customer_payments", caller, path=path, query=query)["body"]["payments"]
        return [(one["status"], one.get("code", "")) for one in found]

    assert listed(JO) == listed(JO, status="pending") == [("pending", "")]
    assert listed(JO, status="in_review") == []
    assert listed(SHOP, status="in_review") == [("in_review", CARD_TESTING)]
    decide(row, Verdict.REJECTED, by="operator:jo", message="a tester", store=scenario.payments, at=NOON)
    assert listed(JO, status="declined") == [("declined", "generic_decline")]
    assert listed(JO, status="rejected") == []
    (old,) = scenario.call("list_customer_payments_v1", JO, path={"customer_id": "cus_1"})["body"]["disbursements"]
    assert old["status"] == "declined"


@pytest.mark.fault(43)
def test_payer_may_cancel_a_held_payment_like_a_pending_one(scenario: RestScenario) -> None:
    held(scenario)
    answer = scenario.call("cancel_payment", JO, path={"payment_id": "pay_1"})
    assert (answer["statusCode"], answer["body"]["reason"]["code"]) == (200, "canceled")
    assert [change["status"] for change in answer["body"]["history"]] == ["pending", "rejected"]


@pytest.mark.fault(43)
@pytest.mark.parametrize("operation", ["cancel_payment", "retry_payment"])
def test_refusals_do_not_tell_a_payer_of_the_rule(scenario: RestScenario, operation: str) -> None:
    row = held(scenario)
    if operation == "cancel_payment":
        decide(row, Verdict.REJECTED, by="operator:jo", message="a tester", store=scenario.payments, at=NOON)
    answer = scenario.call(operation, JO, path={"payment_id": "pay_1"})
    assert answer["statusCode"] == 409
    for word in ("review", "held", "fraud", "operator", "rejected"):
        assert word not in answer["body"]["detail"]


# Erasure -------------------------------------------------------------------------------------------------------------


def test_erasure_removes_the_addresses_of_the_customers_payments(scenario: RestScenario) -> None:
    pay(scenario, 0, customer_id="cus_1", client_ip=ADDRESS)
    row = scenario.payments.rows["pay_0"]
    for n in range(MOST_ERASED + 50):
        scenario.payments.rows[f"more_{n}"] = replace(row, payment_id=f"more_{n}")
    pay(scenario, 999, client_ip=ADDRESS)
    path = {"customer_id": "cus_1"}
    first = scenario.call("delete_customer", ADMIN, path=path)
    assert (first["statusCode"], "send the same request again" in first["body"]["detail"]) == (503, True)
    assert scenario.call("delete_customer", ADMIN, path=path)["statusCode"] == 204
    rows = scenario.payments.rows
    assert [name for name, row in rows.items() if row.client_ip or row.card_counters] == ["pay_999"]
    pay(scenario, 1000, ADMIN, customer_id="cus_1", client_ip=ADDRESS)
    assert (rows["pay_1000"].client_ip, rows["pay_1000"].card_counters) == ("", "")
