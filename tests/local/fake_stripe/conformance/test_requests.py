"""Keys, limits, search and lists of the fake Stripe as Stripe documents them, named in local/fake_stripe/README.md."""

import threading
import time
from collections.abc import Callable
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
import stripe

from local.fake_stripe import app
from local.fake_stripe.errors import REFUSED
from local.fake_stripe.faults import Fault, Kind
from tests.local.fake_stripe.conformance.answers import Refusal, error_of, refusal_of
from tests.local.fake_stripe.test_app import Api, headers_of


def search(api: Api, query: str) -> list[str]:
    return [intent.id for intent in api.intents.search({"query": query}).data]


def by_payment(payment_id: str) -> str:
    return f'metadata["payment_id"]:"{payment_id}"'


# Errors ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ask", "kind", "param"),
    [
        (lambda v1: v1.payment_intents.retrieve("x_nope"), "payment_intent", "intent"),
        (lambda v1: v1.setup_intents.retrieve("x_nope"), "setupintent", "intent"),
        (lambda v1: v1.payment_methods.retrieve("x_nope"), "PaymentMethod", "payment_method"),
        (lambda v1: v1.charges.retrieve("x_nope"), "charge", "id"),
        (lambda v1: v1.refunds.retrieve("x_nope"), "refund", "id"),
    ],
)
def test_retrieve_of_an_unknown_object_is_404(api: Api, ask: Callable[[Any], object], kind: str, param: str) -> None:
    error = error_of(lambda: ask(api.client().v1))
    assert (error.http_status, error.code, error.error.param) == (404, "resource_missing", param)
    assert error.error.message == f"No such {kind}: 'x_nope'"


def test_object_of_the_other_mode_is_404_and_says_so(api: Api) -> None:
    intent = api.pay()
    api.control("POST", f"objects/{intent.id}/to_live_mode")
    error = error_of(lambda: api.intents.retrieve(intent.id))
    assert (error.http_status, error.code) == (404, "resource_missing")
    assert error.error.message == (
        f"No such payment_intent: '{intent.id}'; a similar object exists in live mode, but a test mode key was used to "
        "make this request."
    )
    assert (search(api, by_payment("pay-1")), api.intents.list().data) == ([], [])


@pytest.mark.parametrize("key", ["sk_live_1", "sk_1", "pk_test_1"])
def test_wrong_key_is_401_with_the_type_of_a_wrong_request(api: Api, key: str) -> None:
    error = error_of(lambda: api.client(key).v1.balance.retrieve())
    assert isinstance(error, stripe.AuthenticationError)
    assert error.error is not None
    assert (error.http_status, error.error.type) == (401, "invalid_request_error")
    assert error.error.code == ("secret_key_required" if key.startswith("pk_") else None)


@pytest.mark.parametrize(
    ("key", "account", "name"),
    [("sk_test_1", "acct_fake_stripe", "Fake Stripe"), ("sk_test_of_other_1", "acct_other", "Other")],
)
def test_account_of_a_key_has_an_id_and_a_name_and_no_mode(api: Api, key: str, account: str, name: str) -> None:
    found = api.client(key).v1.accounts.retrieve_current()
    assert (found.id, found.object, found.charges_enabled) == (account, "account", True)
    assert found.settings
    assert found.settings.dashboard.display_name == name
    assert "livemode" not in found


@pytest.mark.parametrize(
    ("names_it", "text"), [(1, "endpoint on account 'acct_fake_stripe'."), (0, "endpoint. Having")]
)
def test_restricted_key_needs_a_permission_to_read_its_account(api: Api, names_it: int, text: str) -> None:
    api.control("POST", "settings", {"permission_error_names_account": names_it})
    accounts = api.client("rk_test_0123456789").v1.accounts
    error = error_of(accounts.retrieve_current)
    assert isinstance(error, stripe.PermissionError)
    assert error.error is not None
    assert (error.http_status, error.error.type, error.error.code) == (403, "invalid_request_error", None)
    assert text in str(error.error.message)
    assert "0123456789" not in str(error.error.message)
    api.control("POST", "settings", {"restricted_keys_read_account": 1})
    assert accounts.retrieve_current().id == "acct_fake_stripe"


@pytest.mark.parametrize("code", REFUSED)
def test_error_about_the_account_looks_like_a_wrong_request(api: Api, code: str) -> None:
    api.control("POST", "faults", {"kind": "refused", "code": code})
    error = error_of(lambda: api.pay(key="k"))
    status, _ = REFUSED[code]
    assert (error.http_status, error.error.type) == (status, "invalid_request_error")
    assert error.error.code == (None if code == "permission" else code)
    assert error.error.payment_intent is None
    assert "Stripe-Rate-Limited-Reason" not in headers_of(error)  # a lock is no rate limit
    assert "Idempotent-Replayed" not in headers_of(api.pay(key="k"))


@pytest.mark.parametrize(
    "ask",
    [
        lambda v1, _: v1.balance.retrieve({"amount": 1}),
        lambda v1, _: v1.customers.delete(v1.customers.create().id, {"amount": 1}),
        lambda v1, intent: v1.payment_intents.confirm(intent, {"customer": "cus_1"}),
        lambda v1, intent: v1.payment_intents.cancel(intent, {"amount": 1}),
        lambda v1, intent: v1.payment_intents.list({"metadata": {"payment_id": "pay-1"}}),
        lambda v1, _: v1.payment_intents.list({"status": "succeeded"}),
        lambda v1, _: v1.refunds.list({"metadata": {"refund_id": "r-1"}}),
    ],
)
def test_parameter_that_a_request_does_not_have_is_refused(api: Api, ask: Callable[[Any, str], object]) -> None:
    intent = api.pay(confirm=False)
    refusal = refusal_of(lambda: ask(api.client().v1, intent.id))
    assert (refusal.status, refusal.code) == (400, "parameter_unknown")


def test_last_payment_error_is_cleared_by_any_update(api: Api) -> None:
    error = error_of(lambda: api.pay(payment_method="pm_card_chargeDeclined")).error
    declined = api.intents.retrieve(error.payment_intent.id)
    assert (declined.status, declined.payment_method) == ("requires_payment_method", None)
    assert declined.last_payment_error is not None
    updated = api.intents.update(declined.id, {"metadata": {"note": "1"}})
    assert (updated.last_payment_error, updated.status) == (None, "requires_payment_method")
    assert updated.latest_charge == error.charge
    assert api.intents.confirm(declined.id, {"payment_method": "pm_card_visa"}).status == "succeeded"


def test_failed_charge_keeps_the_reason_that_the_intent_loses(api: Api) -> None:
    error = error_of(lambda: api.pay(payment_method="pm_card_visa_chargeDeclinedLostCard")).error
    for end in (lambda intent: api.intents.update(intent, {"description": "by hand"}), api.intents.cancel):
        assert end(error.payment_intent.id).last_payment_error is None
        charge: Any = api.intents.retrieve(error.payment_intent.id, {"expand": ["latest_charge"]}).latest_charge
        assert (charge.id, charge.status, charge.failure_code) == (error.charge, "failed", "card_declined")
        assert (charge.outcome.type, charge.outcome.reason) == ("issuer_declined", "lost_card")


def test_intent_is_canceled_after_too_many_failed_confirmations(api: Api) -> None:
    api.control("POST", "settings", {"attempts_per_intent": 2})
    declined: Any = {"payment_method": "pm_card_chargeDeclined"}
    intent_id = error_of(lambda: api.pay(**declined)).error.payment_intent.id
    last = error_of(lambda: api.intents.confirm(intent_id, declined))
    assert (last.http_status, last.error.payment_intent.status) == (402, "canceled")
    assert api.intents.retrieve(intent_id).cancellation_reason == "automatic"


@pytest.mark.parametrize("status", ["requires_capture", "requires_reauthorization", "expired", "something_new"])
def test_status_can_be_one_that_is_not_documented(api: Api, status: str) -> None:
    intent = api.pay(confirm=False)
    api.control("POST", f"payment_intents/{intent.id}/status", {"status": status})
    assert api.intents.retrieve(intent.id).status == status
    assert search(api, f'status:"{status}"') == [intent.id]
    assert refusal_of(lambda: api.intents.confirm(intent.id)).code == "payment_intent_unexpected_state"


# Idempotency keys --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [500, 402])
def test_500_and_402_are_replayed_under_their_key(api: Api, status: int) -> None:
    card = "pm_card_visa" if status == 500 else "pm_card_chargeDeclined"
    if status == 500:
        api.fake_stripe.faults.add(Fault(Kind.SERVER_ERROR))
    first, again = (error_of(lambda: api.pay(key="k", payment_method=card)) for _ in range(2))
    assert (first.http_status, again.http_status, again.http_body) == (status, status, first.http_body)
    assert headers_of(again)["Idempotent-Replayed"] == "true"
    assert headers_of(again)["Original-Request"] == headers_of(first)["Request-Id"]
    assert len(api.intents.list().data) == 1


@pytest.mark.parametrize("status", [400, 401, 429])
def test_400_of_a_parameter_401_and_429_are_not_replayed(api: Api, status: int) -> None:
    kinds = {401: Kind.UNAUTHORIZED, 429: Kind.RATE_LIMITED}
    if status in kinds:
        api.fake_stripe.faults.add(Fault(kinds[status]))
    amount: Any = {"amount": 1} if status == 400 else {}
    assert error_of(lambda: api.pay(key="k", **amount)).http_status == status
    assert api.pay(key="k").status == "succeeded"


def test_400_after_the_execution_began_is_replayed(api: Api) -> None:
    waiting = api.pay(confirm=False)
    cancel: Any = {"options": {"idempotency_key": "k"}}
    api.control("POST", f"payment_intents/{waiting.id}/status", {"status": "succeeded"})
    first = error_of(lambda: api.intents.cancel(waiting.id, **cancel))
    api.control("POST", f"payment_intents/{waiting.id}/status", {"status": "requires_confirmation"})
    again = error_of(lambda: api.intents.cancel(waiting.id, **cancel))
    assert (again.http_status, again.http_body) == (400, first.http_body)
    assert headers_of(again)["Idempotent-Replayed"] == "true"


def test_key_with_other_parameters_is_an_idempotency_error(api: Api) -> None:
    api.pay(key="k")
    error = error_of(lambda: api.pay(key="k", amount=5000))
    assert isinstance(error, stripe.IdempotencyError)
    assert error.error is not None
    assert (error.http_status, error.error.type) == (400, "idempotency_error")
    assert "can only be used with the same parameters they were first used with" in str(error.error.message)


def test_key_of_more_than_255_characters_is_refused(api: Api) -> None:
    assert api.pay(key="k" * 255).status == "succeeded"
    assert error_of(lambda: api.pay(key="k" * 256)).http_status == 400


def test_key_in_use_is_409(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    refused = threading.Event()
    monkeypatch.setattr(app, "time", SimpleNamespace(sleep=lambda _: refused.wait()))
    api.fake_stripe.faults.add(Fault(Kind.LATENCY))
    slow = threading.Thread(target=api.pay, kwargs={"key": "k"})
    slow.start()
    while not api.fake_stripe.ledger.captured():  # the slow one has begun, and is not answered yet
        time.sleep(0.005)
    refusal = refusal_of(lambda: api.pay(key="k"))
    refused.set()
    slow.join()
    assert refusal == Refusal(409, "idempotency_key_in_use", None)


def test_key_is_a_new_request_after_24_hours(api: Api) -> None:
    first = api.pay(key="k")
    api.now += timedelta(hours=23, minutes=59)
    assert api.pay(key="k").id == first.id
    api.now += timedelta(minutes=1)
    assert api.pay(key="k").id != first.id


# Rate limits -------------------------------------------------------------------------------------------------------


def reason_of(call: Callable[[], object]) -> str:
    """The reason that a 429 gives. It has no Retry-After."""
    error = error_of(call)
    assert isinstance(error, stripe.RateLimitError)
    headers = headers_of(error)
    assert "Retry-After" not in headers
    return str(headers["Stripe-Rate-Limited-Reason"])


def test_endpoint_admits_25_requests_a_second(api: Api) -> None:
    intent = api.pay()
    api.control("POST", "rate_limits", {"name": "stripe_live"})
    for _ in range(25):
        api.intents.retrieve(intent.id)
    assert reason_of(lambda: api.intents.retrieve("pi_other")) == "endpoint-rate"
    assert len(api.intents.list().data) == 1  # another endpoint
    api.now += timedelta(seconds=1)
    assert api.intents.retrieve(intent.id).id == intent.id


@pytest.mark.parametrize(("name", "most"), [("stripe", 25), ("stripe_live", 100)])
def test_account_admits_100_requests_a_second_and_a_sandbox_25(api: Api, name: str, most: int) -> None:
    api.control("POST", "rate_limits", {"name": name})
    v1 = api.client().v1
    asks = (v1.balance.retrieve, v1.customers.list, v1.charges.list, v1.refunds.list)
    for number in range(most):
        asks[number % len(asks)]()
    assert reason_of(v1.payment_intents.list) == "global-rate"


def test_searches_of_all_resources_share_20_a_second(api: Api) -> None:
    api.control("POST", "rate_limits", {"name": "stripe"})
    for number in range(20):
        searches: Any = (api.intents, api.client().v1.customers)[number % 2]
        searches.search({"query": 'metadata["a"]:"b"'})
    assert reason_of(lambda: search(api, by_payment("pay-1"))) == "endpoint-rate"
    assert api.pay().status == "succeeded"


def test_intent_admits_1000_updates_an_hour(api: Api) -> None:
    api.control("POST", "settings", {"updates_per_intent_per_hour": 3})  # the number of the preset is a thousand
    waiting, other = api.pay(confirm=False), api.pay(confirm=False)
    for _ in range(3):
        api.intents.update(waiting.id, {"description": "again"})
    assert reason_of(lambda: api.intents.confirm(waiting.id)) == "resource-specific"
    assert api.intents.confirm(other.id).status == "succeeded"
    api.now += timedelta(hours=1)
    assert api.intents.confirm(waiting.id).status == "succeeded"
    api.control("POST", "rate_limits", {"name": "stripe"})
    assert api.control("GET", "settings")["updates_per_intent_per_hour"] == 1000


def test_429_comes_before_the_key_and_is_not_saved(api: Api) -> None:
    paid = api.pay(key="k")
    api.control("POST", "settings", {"endpoint_requests_per_second": 1})
    api.pay("pay-2")
    assert reason_of(lambda: api.pay(key="k")) == "endpoint-rate"  # also a replay is limited
    assert reason_of(lambda: api.pay("pay-3", key="k3")) == "endpoint-rate"
    api.now += timedelta(seconds=1)
    assert api.pay(key="k").id == paid.id
    api.now += timedelta(seconds=1)
    assert "Idempotent-Replayed" not in headers_of(api.pay("pay-3", key="k3"))


# Search and lists ---------------------------------------------------------------------------------------------------


def test_search_compares_whole_values_in_any_case(api: Api) -> None:
    upper, lower = api.pay("ORDER-7").id, api.pay("order-7").id
    api.pay("order-7-b")
    assert set(search(api, by_payment("Order-7"))) == {upper, lower}
    assert search(api, by_payment("order")) == []


def test_search_of_a_string_field_finds_a_phrase_in_a_longer_value(api: Api) -> None:
    customers = api.client().v1.customers
    ann, _ = (customers.create({"name": name}).id for name in ("Ann Mary Lee", "Ann Lee Mary"))

    def found(query: str) -> list[str]:
        return [customer.id for customer in customers.search({"query": query}).data]

    assert found('name:"mary lee"') == found('name~"Y LE"') == [ann]
    assert found('name:"mary le"') == []
    assert error_of(lambda: found('name~"an"')).http_status == 400  # `~` needs three characters


def test_search_may_find_a_phrase_of_metadata_as_well(api: Api) -> None:
    longer = api.pay("order-7-b").id
    api.control("POST", "settings", {"metadata_phrases": 1})
    assert search(api, by_payment("order-7")) == [longer]


def test_search_combines_up_to_ten_clauses(api: Api) -> None:
    paid, waiting = api.pay("pay-1", amount=500).id, api.pay("pay-2", confirm=False).id
    assert search(api, "amount<1000 AND status:'succeeded'") == [paid]
    assert search(api, f"{by_payment('pay-1')} OR amount>=9999") == [waiting, paid]
    assert search(api, f"-{by_payment('pay-1')}") == [waiting]
    assert search(api, '-metadata["payment_id"]:null AND currency:"usd"') == [waiting, paid]
    assert search(api, 'metadata["other"]:null') == [waiting, paid]
    quoted = api.pay('a"b AND c').id
    assert search(api, r'metadata["payment_id"]:"a\"b AND c"') == [quoted]
    assert error_of(lambda: search(api, " AND ".join(["amount>1"] * 11))).http_status == 400
    assert error_of(lambda: search(api, "amount>1 AND amount>2 OR amount>3")).http_status == 400


def test_search_lags_and_lists_do_not(api: Api) -> None:
    api.control("POST", "settings", {"search_lag_seconds": 3600})
    intent = api.pay()
    assert (search(api, by_payment("pay-1")), [found.id for found in api.intents.list().data]) == ([], [intent.id])
    api.now += timedelta(hours=1)
    assert search(api, by_payment("pay-1")) == [intent.id]
    api.intents.update(intent.id, {"description": "changed"})
    assert search(api, by_payment("pay-1")) == []


def test_search_is_not_offered_in_india(api: Api) -> None:
    api.fake_stripe.faults.add(Fault(Kind.SEARCH_REFUSED))
    assert error_of(lambda: search(api, by_payment("pay-1"))).http_status == 400
    assert api.pay().status == "succeeded"


def test_list_is_newest_first_and_pages_in_both_directions(api: Api) -> None:
    oldest_first = [api.pay(f"pay-{number}").id for number in range(5)]
    newest_first = oldest_first[::-1]
    first = api.intents.list({"limit": 2})
    assert ([intent.id for intent in first.data], first.has_more) == (newest_first[:2], True)
    assert [intent.id for intent in first.auto_paging_iter()] == newest_first
    before = api.intents.list({"limit": 2, "ending_before": newest_first[3]})
    assert ([intent.id for intent in before.data], before.has_more) == (newest_first[1:3], True)
    assert error_of(lambda: api.intents.list({"limit": 101})).http_status == 400


def test_list_filters_by_created_and_customer(api: Api) -> None:
    owner = api.client().v1.customers.create().id
    api.pay()
    api.now += timedelta(seconds=10)
    mine, since = api.pay(customer=owner), int(api.now.timestamp())
    wanted: list[Any] = [{"customer": owner}, {"created": {"gte": since}}, {"created": since}]
    assert [[found.id for found in api.intents.list(params).data] for params in wanted] == [[mine.id]] * 3
    assert api.intents.list({"created": {"gt": since}}).data == []


def test_expand_puts_objects_in_place_of_their_ids(api: Api) -> None:
    owner = api.client().v1.customers.create().id
    intent = api.pay(customer=owner, expand=["latest_charge", "customer", "payment_method"])
    assert isinstance(intent.latest_charge, stripe.Charge)
    assert isinstance(intent.customer, stripe.Customer)
    assert isinstance(intent.payment_method, stripe.PaymentMethod)
    listed = api.intents.list({"expand": ["data.latest_charge.customer"]}).data[0].latest_charge
    assert isinstance(listed, stripe.Charge)
    assert isinstance(listed.customer, stripe.Customer)
    api.client().v1.refunds.create({"payment_intent": intent.id, "amount": 1})
    charge = api.intents.retrieve(intent.id, {"expand": ["latest_charge.refunds"]}).latest_charge
    assert isinstance(charge, stripe.Charge)
    assert charge.refunds is not None
    assert [refund.amount for refund in charge.refunds.data] == [1]
    refused = error_of(lambda: api.pay("pay-2", expand=["teleport"]))
    assert (refused.http_status, len(api.intents.list().data)) == (400, 1)
