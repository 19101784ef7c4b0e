"""The semantics of the fake Stripe, driven by the official SDK: it does what Stripe documents."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import count
from types import SimpleNamespace
from typing import Any

import pytest
import requests
import stripe

from local.fake_stripe import amounts, app
from local.fake_stripe.app import FakeStripe
from local.fake_stripe.faults import Fault, Kind
from local.fake_stripe.server import in_process
from payments.adapters.stripe import amounts as stripe_amounts
from payments.domain.money import InvalidMoney

SECRET_KEY = "sk_test_0123456789"
CARD: dict[str, Any] = {
    "amount": 9999,
    "currency": "usd",
    "payment_method": "pm_card_visa",
    "payment_method_types": ["card"],
    "confirm": True,
}


class Api:
    """The fake Stripe with its SDK client, its clock, and ids that count up."""

    def __init__(self) -> None:
        self.now = datetime(2026, 1, 15, 12, tzinfo=UTC)
        self._numbers = count(1)

    def new_id(self, prefix: str) -> str:
        return f"{prefix}_{next(self._numbers)}"

    def serve(self, url: str, fake_stripe: FakeStripe) -> None:
        self.url, self.fake_stripe = url, fake_stripe
        self.intents = self.client().v1.payment_intents
        self.web = requests.Session()
        self.web.trust_env = False

    def client(self, key: str = SECRET_KEY) -> stripe.StripeClient:
        return stripe.StripeClient(
            key,
            base_addresses={"api": self.url},
            max_network_retries=0,
            http_client=stripe.RequestsClient(timeout=(30, 60)),
        )

    def pay(self, payment_id: str = "pay-1", *, key: str = "", **changes: Any) -> stripe.PaymentIntent:
        params: Any = {**CARD, "metadata": {"payment_id": payment_id}, **changes}
        return self.intents.create(params, options={"idempotency_key": key} if key else {})

    def control(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        """The JSON answer of a control route of the fake Stripe."""
        answer = self.web.request(method, f"{self.url}/_stand_in/{path}", json=body, timeout=60)
        answer.raise_for_status()
        return answer.json()


@contextmanager
def serving() -> Iterator[Api]:
    """The fake Stripe, with everything that a test controls it with."""
    api = Api()
    with in_process(clock=lambda: api.now, new_id=api.new_id) as (url, fake_stripe):
        api.serve(url, fake_stripe)
        yield api


@pytest.fixture
def api() -> Iterator[Api]:
    with serving() as api:
        yield api


def headers_of(answer: stripe.StripeObject | stripe.StripeError) -> Any:
    if isinstance(answer, stripe.StripeError):
        return answer.headers
    assert answer.last_response
    return answer.last_response.headers


# Payment intents -------------------------------------------------------------------------------------------------


def test_create_when_confirmed_then_captures_and_expands_the_charge(api: Api) -> None:
    intent = api.pay(expand=["latest_charge"])
    assert (intent.status, intent.amount_received, intent.currency) == ("succeeded", 9999, "usd")
    charge = intent.latest_charge
    assert isinstance(charge, stripe.Charge)
    assert (charge.status, charge.captured, charge.amount_captured) == ("succeeded", True, 9999)
    assert api.client().v1.charges.retrieve(charge.id).payment_intent == intent.id
    assert [found.id for found in api.client().v1.charges.list({"payment_intent": intent.id})] == [charge.id]


def test_create_when_not_confirmed_then_waits_for_confirmation(api: Api) -> None:
    intent = api.pay(confirm=False)
    assert intent.status == "requires_confirmation"
    assert api.fake_stripe.ledger.captured() == []
    assert api.intents.confirm(intent.id).status == "succeeded"
    assert len(api.fake_stripe.ledger.captured()) == 1


def test_capture_when_capture_is_manual_then_takes_the_money_only_then(api: Api) -> None:
    intent = api.pay(capture_method="manual")
    assert (intent.status, intent.amount_capturable) == ("requires_capture", 9999)
    assert api.fake_stripe.ledger.captured() == []
    captured = api.intents.capture(intent.id, {"amount_to_capture": 5000})
    assert (captured.status, captured.amount_received) == ("succeeded", 5000)
    assert [charge["amount"] for charge in api.fake_stripe.ledger.captured()] == [5000]


def test_cancel_accepts_open_intents_and_refuses_succeeded_ones(api: Api) -> None:
    assert api.intents.cancel(api.pay(confirm=False).id).status == "canceled"
    with pytest.raises(stripe.InvalidRequestError) as caught:
        api.intents.cancel(api.pay().id)
    assert caught.value.code == "payment_intent_unexpected_state"


def test_declined_create_returns_its_intent_payable_with_another_card(api: Api) -> None:
    with pytest.raises(stripe.CardError) as caught:
        api.pay(payment_method="pm_card_visa_chargeDeclinedInsufficientFunds")
    error = caught.value.error
    assert error is not None
    assert (error.type, error.code, error.decline_code) == ("card_error", "card_declined", "insufficient_funds")
    assert error.payment_intent is not None
    assert error.payment_intent.status == "requires_payment_method"
    assert api.client().v1.charges.retrieve(str(error.charge)).status == "failed"
    paid = api.intents.confirm(error.payment_intent.id, {"payment_method": "pm_card_mastercard"})
    assert (paid.status, paid.last_payment_error) == ("succeeded", None)


def test_authenticating_card_requires_action_or_declines_off_session(api: Api) -> None:
    on_session = api.pay(payment_method="pm_card_authenticationRequired")
    assert on_session.status == "requires_action"
    assert on_session.next_action is not None
    with pytest.raises(stripe.CardError) as caught:
        api.pay(payment_method="pm_card_authenticationRequired", off_session=True)
    assert caught.value.code == "authentication_required"


@pytest.mark.parametrize(
    ("changes", "code", "param"),
    [
        ({"amount": 49}, "amount_too_small", "amount"),
        ({"amount": 100_000_000}, "amount_too_large", "amount"),
        ({"amount": 1_000_000_000_000, "currency": "idr"}, "amount_too_large", "amount"),
        ({"amount": 1_000_000_000, "currency": "idr", "payment_method": "pm_card_amex"}, "amount_too_large", "amount"),
        ({"amount": 29, "currency": "gbp"}, "amount_too_small", "amount"),
        ({"amount": "9.99"}, "parameter_invalid_integer", "amount"),
        ({"amount": -5}, "parameter_invalid_integer", "amount"),
        ({"amount": 5124, "currency": "kwd"}, "invalid_charge_amount", "amount"),
        ({"currency": "xau"}, None, "currency"),
        ({"currency": "USD"}, None, "currency"),
        ({"currency": ""}, "parameter_missing", "currency"),
        ({"payment_method": "pm_nope"}, "resource_missing", "payment_method"),
        ({"payment_method": ""}, "payment_intent_unexpected_state", None),
        ({"payment_method_types": []}, None, None),  # would need a return_url
        ({"teleport": True}, "parameter_unknown", "teleport"),
        ({"metadata": {"k" * 41: "v"}}, None, "metadata"),
    ],
)
def test_create_refuses_wrong_parameters_and_stores_nothing(
    api: Api, changes: dict[str, Any], code: str | None, param: str | None
) -> None:
    with pytest.raises(stripe.InvalidRequestError) as caught:
        api.pay(**changes)
    assert (caught.value.code, caught.value.param, caught.value.http_status) == (code, param, 400)
    assert api.intents.list().data == []


def test_retrieve_when_intent_is_unknown_then_is_404(api: Api) -> None:
    with pytest.raises(stripe.InvalidRequestError) as caught:
        api.intents.retrieve("pi_nope")
    assert (caught.value.http_status, caught.value.code) == (404, "resource_missing")


@pytest.mark.fault(59)
@pytest.mark.parametrize(
    ("amount", "currency", "message"),
    [
        (49, "usd", "Amount must be at least $0.50"),
        (17499, "huf", "Amount must be at least 175.00 huf"),
        (100_000_000, "usd", "Amount must be no more than $999999.99"),
        (10_000_000_000, "jpy", "Amount must be no more than 9999999999 jpy"),
    ],
)
def test_create_outside_the_limits_gets_400_naming_the_limit(
    api: Api, amount: int, currency: str, message: str
) -> None:
    with pytest.raises(stripe.InvalidRequestError) as caught:
        api.pay(amount=amount, currency=currency)
    assert caught.value.error is not None
    assert (caught.value.error.type, caught.value.error.message) == ("invalid_request_error", message)


def test_confirm_with_amex_refuses_more_than_nine_digits(api: Api) -> None:
    waiting = api.pay(amount=1_000_000_000, currency="idr", confirm=False, payment_method="pm_card_visa")
    with pytest.raises(stripe.InvalidRequestError) as caught:
        api.intents.confirm(waiting.id, {"payment_method": "pm_card_amex"})
    assert caught.value.code == "amount_too_large"
    assert api.intents.confirm(waiting.id).status == "succeeded"


def test_currencies_equal_those_of_the_adapters_table() -> None:
    assert {currency.upper() for currency in amounts.CURRENCIES} == stripe_amounts.CURRENCIES


@pytest.mark.parametrize("currency", sorted(amounts.CURRENCIES))
def test_limits_and_steps_equal_those_of_the_adapters_table(currency: str) -> None:
    step, (least, most) = amounts.step(currency), amounts.limits(currency)
    smallest = stripe_amounts.smallest(currency.upper())
    assert least == (stripe_amounts.stripe_amount(smallest) if smallest else 1)
    assert most - most % step == stripe_amounts.stripe_amount(stripe_amounts.largest(currency.upper()))
    for amount in (1, 10, 100):
        assert (amount % step == 0) == _chargeable(amount, currency)


def _chargeable(amount: int, currency: str) -> bool:
    try:
        return stripe_amounts.refusal(stripe_amounts.money_of(amount, currency)) is None
    except InvalidMoney:
        return False


# Lists and search ------------------------------------------------------------------------------------------------


def test_list_when_longer_than_a_page_then_pages_newest_first(api: Api) -> None:
    made = [api.pay(f"pay-{number}").id for number in range(5)]
    first = api.intents.list({"limit": 2})
    assert ([intent.id for intent in first.data], first.has_more) == (made[:2:-1], True)
    assert [intent.id for intent in first.auto_paging_iter()] == made[::-1]


def test_list_when_filtered_by_time_then_gives_only_that_time(api: Api) -> None:
    api.pay("old")
    api.now += timedelta(minutes=5)
    young = api.pay("young")
    since = int(api.now.timestamp())
    assert [intent.id for intent in api.intents.list({"created": {"gte": since}}).data] == [young.id]
    assert [intent.id for intent in api.intents.list({"created": since}).data] == [young.id]
    assert [intent.id for intent in api.intents.list({"created": {"gt": since}}).data] == []


def test_search_by_metadata_and_status_finds_intents_matching_both(api: Api) -> None:
    paid, waiting = api.pay("pay-1"), api.pay("pay-1", confirm=False)
    api.pay("pay-2")

    def found(query: str) -> list[str]:
        return [intent.id for intent in api.intents.search({"query": query}).data]

    assert found('metadata["payment_id"]:"pay-1"') == [waiting.id, paid.id]
    assert found("metadata['payment_id']:'pay-1' AND status:'succeeded'") == [paid.id]
    assert found('metadata["payment_id"]:"pay-3"') == []


@pytest.mark.fault(51)
def test_search_ignores_the_case_of_values_as_stripe_does(api: Api) -> None:
    upper, lower = api.pay("ORDER-7"), api.pay("order-7")
    found = api.intents.search({"query": 'metadata["payment_id"]:"Order-7"'}).data
    assert {intent.id for intent in found} == {upper.id, lower.id}


def test_search_when_longer_than_a_page_then_goes_on_with_the_next_page(api: Api) -> None:
    made = {api.pay("pay-1").id for _ in range(5)}
    result = api.intents.search({"query": 'metadata["payment_id"]:"pay-1"', "limit": 2})
    assert result.has_more
    assert {intent.id for intent in result.auto_paging_iter()} == made


@pytest.mark.parametrize(
    "query",
    [
        "",
        "payment_id:1",
        'amount["x"]:"1"',
        'status~"succ"',
        'metadata["a"]>1',
        'status:"a" AND currency:"b" OR amount>1',
        " AND ".join(["amount>1"] * 11),
    ],
)
def test_search_when_query_cannot_be_parsed_then_is_refused(api: Api, query: str) -> None:
    with pytest.raises(stripe.InvalidRequestError, match="parse"):
        api.intents.search({"query": query})


def test_balance_when_charges_were_captured_then_adds_them_up_by_currency(api: Api) -> None:
    api.pay()
    api.pay(amount=500)
    api.pay(amount=700, currency="eur")
    pending = api.client().v1.balance.retrieve().pending
    assert [(entry.currency, entry.amount) for entry in pending] == [("eur", 700), ("usd", 10499)]
    assert api.client().v1.accounts.retrieve_current().charges_enabled


# Keys ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["sk_live_0123456789", "pk_test_0123456789", "nonsense"])
def test_wrong_secret_key_gets_401_showing_no_more_than_its_start(api: Api, key: str) -> None:
    with pytest.raises(stripe.AuthenticationError) as caught:
        api.client(key).v1.balance.retrieve()
    assert caught.value.http_status == 401
    assert key[9:] not in str(caught.value) or len(key) < 9


def test_request_without_key_gets_401_and_basic_auth_is_accepted(api: Api) -> None:
    assert api.web.get(f"{api.url}/v1/balance").status_code == 401
    assert api.web.get(f"{api.url}/v1/balance", auth=(SECRET_KEY, "")).status_code == 200


def test_request_when_path_is_unknown_then_is_404_in_stripes_form(api: Api) -> None:
    answer = api.web.get(f"{api.url}/v1/unicorns", auth=(SECRET_KEY, ""))
    assert answer.status_code == 404
    assert answer.json()["error"]["type"] == "invalid_request_error"


# Idempotency -----------------------------------------------------------------------------------------------------


def test_key_when_repeated_then_replays_status_and_body_and_charges_once(api: Api) -> None:
    first, again = api.pay(key="k"), api.pay(key="k")
    assert first.last_response is not None
    assert again.last_response is not None
    assert again.last_response.body == first.last_response.body
    assert "Idempotent-Replayed" not in headers_of(first)
    assert headers_of(again)["Idempotent-Replayed"] == "true"
    assert headers_of(again)["Original-Request"] == headers_of(first)["Request-Id"]
    assert len(api.fake_stripe.ledger.captured()) == 1


def test_key_when_card_was_declined_then_replays_the_decline(api: Api) -> None:
    caught = []
    for _ in range(2):
        with pytest.raises(stripe.CardError) as error:
            api.pay(key="k", payment_method="pm_card_chargeDeclined")
        caught.append(error.value)
    assert caught[0].http_body == caught[1].http_body
    assert headers_of(caught[1])["Idempotent-Replayed"] == "true"
    assert len(api.intents.list().data) == 1


@pytest.mark.parametrize("executes", [True, False])
def test_key_when_a_500_was_answered_then_replays_the_500(api: Api, executes: bool) -> None:
    api.fake_stripe.faults.add(Fault(Kind.SERVER_ERROR, executes=executes))
    for replayed in (None, "true"):
        with pytest.raises(stripe.APIError) as caught:
            api.pay(key="k")
        assert caught.value.http_status == 500
        assert headers_of(caught.value).get("Idempotent-Replayed") == replayed
    assert len(api.fake_stripe.ledger.captured()) == executes


def test_key_when_request_was_refused_before_it_began_then_is_free_again(api: Api) -> None:
    with pytest.raises(stripe.InvalidRequestError):
        api.pay(key="k", amount=1)
    api.fake_stripe.faults.add(Fault(Kind.RATE_LIMITED))
    with pytest.raises(stripe.RateLimitError):
        api.pay(key="k")
    api.fake_stripe.faults.add(Fault(Kind.UNAUTHORIZED))
    with pytest.raises(stripe.AuthenticationError):
        api.pay(key="k")
    assert api.pay(key="k").status == "succeeded"


def test_key_with_other_parameters_or_endpoint_is_an_idempotency_error(api: Api) -> None:
    intent = api.pay(key="k", confirm=False)
    with pytest.raises(stripe.IdempotencyError):
        api.pay(key="k", amount=5000)
    with pytest.raises(stripe.IdempotencyError):
        api.intents.confirm(intent.id, options={"idempotency_key": "k"})
    assert api.fake_stripe.ledger.captured() == []


def test_key_when_another_request_with_it_is_still_running_then_is_409(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = threading.Event()
    monkeypatch.setattr(app, "time", SimpleNamespace(sleep=lambda _: refused.wait()))
    api.fake_stripe.faults.add(Fault(Kind.LATENCY))
    slow = threading.Thread(target=api.pay, kwargs={"key": "k"})
    slow.start()
    while not api.fake_stripe.ledger.captured():  # the slow one has begun, and is not answered yet
        time.sleep(0.005)
    with pytest.raises(stripe.APIError) as caught:
        api.pay(key="k")
    refused.set()
    slow.join()
    assert caught.value.http_status == 409
    assert caught.value.error is not None
    assert caught.value.error.code == "idempotency_key_in_use"
    assert headers_of(api.pay(key="k"))["Idempotent-Replayed"] == "true"
    assert len(api.fake_stripe.ledger.captured()) == 1


def test_key_when_24_hours_went_by_then_is_forgotten(api: Api) -> None:
    first = api.pay(key="k")
    api.now += timedelta(hours=23, minutes=59)
    assert api.pay(key="k").id == first.id
    api.now += timedelta(minutes=1)
    assert api.pay(key="k").id != first.id


def test_forgotten_idempotency_key_charges_again(api: Api) -> None:
    first = api.pay(key="k")
    api.web.delete(f"{api.url}/_stand_in/idempotency_keys")
    assert api.pay(key="k").id != first.id


# Inspection and faults -------------------------------------------------------------------------------------


def test_request_log_lists_each_request_and_holds_no_secret(api: Api) -> None:
    api.pay("pay-1", key="k")
    api.pay("pay-1", key="k")
    api.intents.search({"query": 'metadata["payment_id"]:"pay-1"'})
    text = api.web.get(f"{api.url}/_stand_in/requests").text
    log = json.loads(text)["data"]
    reported = [
        (entry["method"], entry["path"], entry["idempotency_key"], entry["payment_id"], entry["replayed"])
        for entry in log
    ]
    assert reported == [
        ("POST", "/v1/payment_intents", "k", "pay-1", False),
        ("POST", "/v1/payment_intents", "k", "pay-1", True),
        ("GET", "/v1/payment_intents/search", "", "pay-1", False),
    ]
    assert SECRET_KEY not in text
    assert "pm_card_visa" not in text


def test_charges_when_some_were_declined_then_counts_only_the_captured(api: Api) -> None:
    intent = api.pay("pay-1")
    with pytest.raises(stripe.CardError):
        api.pay("pay-2", payment_method="pm_card_chargeDeclined")
    charges = api.web.get(f"{api.url}/_stand_in/charges").json()["data"]
    assert charges == [
        {
            "id": intent.latest_charge,
            "payment_intent": intent.id,
            "amount": 9999,
            "amount_refunded": 0,
            "currency": "usd",
            "payment_id": "pay-1",
        }
    ]


def test_reset_when_asked_then_forgets_everything(api: Api) -> None:
    first = api.pay(key="k")
    api.web.post(f"{api.url}/_stand_in/faults", json={"kind": "unauthorized", "times": 9})
    api.web.post(f"{api.url}/_stand_in/reset")
    assert api.web.get(f"{api.url}/_stand_in/requests").json()["data"] == []
    assert api.pay(key="k").id != first.id
    assert len(api.fake_stripe.ledger.captured()) == 1


def test_fault_hits_only_its_payment_and_only_the_given_times(api: Api) -> None:
    fault = {"kind": "rate_limited", "payment_id": "pay-2", "times": 2, "retry_after_seconds": 7}
    assert api.web.post(f"{api.url}/_stand_in/faults", json=fault).status_code == 200
    api.pay("pay-1")
    for _ in range(2):
        with pytest.raises(stripe.RateLimitError) as caught:
            api.pay("pay-2")
        assert headers_of(caught.value)["Retry-After"] == "7"
    assert api.pay("pay-2").status == "succeeded"
    assert api.web.get(f"{api.url}/_stand_in/faults").json()["data"] == []


@pytest.mark.parametrize(
    "body", [{"kind": "gremlins"}, {"kind": "latency", "second": 1}, {"kind": "latency", "times": 0}]
)
def test_fault_when_it_is_not_known_then_is_refused_with_the_reason(api: Api, body: dict[str, Any]) -> None:
    answer = api.web.post(f"{api.url}/_stand_in/faults", json=body)
    assert answer.status_code == 400
    assert answer.json()["error"]["message"]


def test_rate_limit_when_exceeded_then_is_429_until_the_second_is_over(api: Api) -> None:
    api.web.post(f"{api.url}/_stand_in/faults", json={"requests_per_second": 2})
    api.pay()
    api.pay()
    with pytest.raises(stripe.RateLimitError):
        api.pay()
    api.now += timedelta(seconds=1)
    assert api.pay().status == "succeeded"


def test_answer_when_lost_then_connection_closes_and_the_charge_stands(api: Api) -> None:
    api.fake_stripe.faults.add(Fault(Kind.ANSWER_LOST))
    with pytest.raises(stripe.APIConnectionError):
        api.pay(key="k")
    assert headers_of(api.pay(key="k"))["Idempotent-Replayed"] == "true"
    assert len(api.fake_stripe.ledger.captured()) == 1
