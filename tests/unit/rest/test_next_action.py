"""The next action of a payment that its customer must authenticate: who gets it, and that it is never kept."""

import io
import json
from typing import Any

import pytest

from fakes.gateway import Fault, FaultKind
from payments.application.client_requests import REQUESTS_PER_SECOND
from payments.domain.errors import RequiresAction
from payments.domain.identity import Caller, Role
from payments.domain.money import Money
from payments.domain.statuses import Status
from payments.observability import logs
from payments.ports.limit_store import LimitsUnavailable
from payments.ports.payment_gateway import ChargeRequest
from payments.rest.gateway import RETRY_AFTER_SECONDS
from tests.unit.builders import after
from tests.unit.rest.scenario import ADMIN, JO, OPERATOR, SAM, SHOP, RestScenario

STEP_UP = "pm_card_threeDSecure2Required"


@pytest.fixture
def scenario() -> RestScenario:
    return RestScenario()


def waiting(scenario: RestScenario, by: Caller = SHOP) -> str:
    """A payment of Jo's that requires action, as the charge step leaves it. Returns the charge's reference."""
    scenario.add_customer(subject=JO.subject, by=by)
    body = {"payment_id": "pay_1", "amount": "99.99", "currency": "USD", "customer_id": "cus_1"}
    assert scenario.call("create_payment", by, body)["statusCode"] == 202
    with pytest.raises(RequiresAction) as caught:
        scenario.gateway.charge(ChargeRequest("pay_1", Money(9999, "USD"), STEP_UP))
    reference = caught.value.gateway_reference
    move(scenario, Status.PROCESSING)
    sealed = scenario.encryptor.seal({"payment_id": "pay_1"}, {"gateway_reference": reference})
    move(scenario, Status.REQUIRES_ACTION, code="authentication_required", **sealed)
    return reference


def move(scenario: RestScenario, status: Status, **changes: Any) -> None:
    scenario.payments.save(after(scenario.payments.rows["pay_1"], status, **changes))


def get(scenario: RestScenario, caller: Caller = SHOP) -> dict[str, Any]:
    return scenario.call("get_payment", caller, path={"payment_id": "pay_1"})


# Who gets it ---------------------------------------------------------------------------------------------------------


@pytest.mark.fault(17)
@pytest.mark.parametrize("caller", [SHOP, JO], ids=["its submitter", "its customer"])
def test_next_action_is_given_to_submitter_and_owner_not_cached(scenario: RestScenario, caller: Caller) -> None:
    reference = waiting(scenario)

    answer = get(scenario, caller)

    assert (answer["statusCode"], answer["body"]["status"]) == (200, "requires_action")
    assert answer["body"]["next_action"] == {
        "method": "use_stripe_sdk",
        "client_secret": f"{reference}_secret_memory",
    }
    assert answer["headers"]["Cache-Control"] == "no-store"
    assert "Retry-After" not in answer["headers"]


def test_next_action_is_given_to_an_admin_who_submitted_it(scenario: RestScenario) -> None:
    waiting(scenario, by=ADMIN)
    assert "next_action" in get(scenario, ADMIN)["body"]


STAFF = {
    "an admin": ADMIN,
    "an operator": OPERATOR,
    "the owner's subject without the role": Caller(JO.subject, frozenset({Role.OPERATOR})),
    "the submitter's subject, now an operator": Caller(SHOP.subject, frozenset({Role.OPERATOR})),
}


@pytest.mark.fault(41)
@pytest.mark.parametrize("caller", STAFF.values(), ids=STAFF)
def test_next_action_is_not_given_to_staff_who_may_see_the_payment(scenario: RestScenario, caller: Caller) -> None:
    waiting(scenario)
    answer = get(scenario, caller)
    assert (answer["statusCode"], "next_action" in answer["body"]) == (200, False)
    assert (scenario.next_actions.asked, "Retry-After" in answer["headers"]) == ([], False)


@pytest.mark.fault(41)
def test_next_action_of_another_customers_payment_is_not_even_asked(scenario: RestScenario) -> None:
    waiting(scenario)
    assert get(scenario, SAM)["statusCode"] == 404
    assert scenario.next_actions.asked == []


# When ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [Status.SUCCEEDED, Status.DECLINED, Status.FAILED])
def test_next_action_of_a_payment_that_requires_none_costs_nothing(scenario: RestScenario, status: Status) -> None:
    waiting(scenario)
    move(scenario, status)
    counters = dict(scenario.counters.hits)
    assert "next_action" not in get(scenario)["body"]
    assert (scenario.next_actions.asked, scenario.counters.hits) == ([], counters)


def test_next_action_after_the_customer_acted_is_left_out(scenario: RestScenario) -> None:
    """Stripe knows more than the row until its event arrives."""
    scenario.gateway.finish(waiting(scenario), well=True)
    answer = get(scenario)
    assert (answer["body"]["status"], "next_action" in answer["body"]) == ("requires_action", False)
    assert "Retry-After" not in answer["headers"]


def test_next_action_when_all_slots_are_taken_then_retry_after(scenario: RestScenario) -> None:
    reference = waiting(scenario)
    for _ in range(REQUESTS_PER_SECOND):
        assert "next_action" in get(scenario)["body"]

    answer = get(scenario)

    assert (answer["statusCode"], answer["headers"]["Retry-After"]) == (200, "1")
    assert answer["body"]["status"] == "requires_action"
    assert "next_action" not in answer["body"]
    assert scenario.next_actions.asked == [reference] * REQUESTS_PER_SECOND


def test_next_action_when_slots_cannot_be_counted_then_not_asked(
    scenario: RestScenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting(scenario)

    def unavailable(*_: object) -> int:
        raise LimitsUnavailable

    monkeypatch.setattr(scenario.counters, "count", unavailable)
    answer = get(scenario)
    assert (answer["statusCode"], answer["headers"]["Retry-After"]) == (200, str(RETRY_AFTER_SECONDS))
    assert scenario.next_actions.asked == []


FAILURES = {
    FaultKind.NOT_SENT: RETRY_AFTER_SECONDS,
    FaultKind.SERVER_ERROR: RETRY_AFTER_SECONDS,
    FaultKind.ANSWER_LOST: RETRY_AFTER_SECONDS,
    FaultKind.UNAUTHORIZED: RETRY_AFTER_SECONDS,
    FaultKind.RATE_LIMITED: 17,
}
"""What the gateway does → Retry-After."""


@pytest.mark.parametrize(("kind", "retry_after"), FAILURES.items())
def test_next_action_when_the_gateway_fails_then_the_payment_is_shown(
    scenario: RestScenario, kind: FaultKind, retry_after: int
) -> None:
    waiting(scenario)
    scenario.gateway.fail(Fault(kind, retry_after_seconds=17))
    answer = get(scenario)
    assert (answer["statusCode"], answer["headers"]["Retry-After"]) == (200, str(retry_after))
    assert (answer["body"]["status"], "next_action" in answer["body"]) == ("requires_action", False)


def test_next_action_when_anything_else_fails_then_the_payment_is_shown(
    scenario: RestScenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting(scenario)

    def broken(_: str) -> None:
        raise RuntimeError("the store of the key does not answer")

    monkeypatch.setattr(scenario.next_actions, "next_action", broken)
    answer = get(scenario)
    assert (answer["statusCode"], answer["headers"]["Retry-After"]) == (200, str(RETRY_AFTER_SECONDS))


# Never kept ----------------------------------------------------------------------------------------------------------


def test_next_action_is_never_stored(scenario: RestScenario) -> None:
    waiting(scenario)
    row = scenario.payments.rows["pay_1"]
    assert "next_action" in get(scenario)["body"]
    assert scenario.payments.rows == {"pay_1": row}
    assert "_secret_" not in f"{row} {scenario.access_log.entries} {scenario.counters.hits}"


@pytest.mark.parametrize("kind", [None, FaultKind.SERVER_ERROR])
def test_next_action_is_never_logged(
    scenario: RestScenario, monkeypatch: pytest.MonkeyPatch, kind: FaultKind | None
) -> None:
    out = io.StringIO()
    monkeypatch.setattr(logs.logger().registered_handler, "stream", out)
    reference = waiting(scenario)
    if kind:
        scenario.gateway.fail(Fault(kind))
    get(scenario)
    assert "_secret_" not in out.getvalue()
    assert reference not in out.getvalue()


REDIRECT = (
    "https://hooks.stripe.com/3d_secure_2/hosted?merchant=acct_1&payment_intent=pi_3MtwBwLkdIwHu7ix28a3tqPa"
    "&payment_intent_client_secret=pi_3MtwBwLkdIwHu7ix28a3tqPa_secret_YrKJUKribcBjcG8HVhfZluoGH&source=payatt_1"
)


def test_next_action_when_logged_by_mistake_then_redacted(monkeypatch: pytest.MonkeyPatch) -> None:
    out = io.StringIO()
    monkeypatch.setattr(logs.logger().registered_handler, "stream", out)
    action = {"method": "redirect_to_url", "client_secret": "pi_1_secret_2", "redirect_url": REDIRECT}
    logs.logger().info("answered", body=json.dumps({"next_action": action}), next_action=action)
    assert "secret_YrKJ" not in out.getvalue()
    assert "pi_1_secret_2" not in out.getvalue()
    assert "pi_3Mtw" not in out.getvalue()
