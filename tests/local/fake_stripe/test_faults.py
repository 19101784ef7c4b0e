"""Faults in a payment's metadata, settings for all requests, and what a test can measure."""

import threading
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
import stripe

from local.fake_stripe.fault_spec import faults_of
from local.fake_stripe.faults import EVERY_TIME, Fault, Faults, Kind
from tests.local.fake_stripe.test_app import Api, headers_of, serving


@pytest.fixture
def api() -> Iterator[Api]:
    with serving() as api:
        yield api


def pay(api: Api, fault_spec: str, *, payment_id: str = "pay-1", key: str = "", **changes: Any) -> stripe.PaymentIntent:
    return api.pay(metadata={"payment_id": payment_id, "stand_in": fault_spec}, key=key, **changes)


def found(api: Api, payment_id: str = "pay-1") -> list[stripe.PaymentIntent]:
    return api.intents.search({"query": f'metadata["payment_id"]:"{payment_id}"'}).data


# In metadata -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault_spec", "error", "status"),
    [
        ("unauthorized", stripe.AuthenticationError, 401),
        ("rate_limited=7", stripe.RateLimitError, 429),
        ("key_in_use", stripe.APIError, 409),
        ("server_error", stripe.APIError, 500),
        ("answer_lost", stripe.APIConnectionError, None),
    ],
)
def test_word_when_in_metadata_then_strikes_its_payment_once(
    api: Api, fault_spec: str, error: type[stripe.StripeError], status: int | None
) -> None:
    with pytest.raises(error) as caught:
        pay(api, fault_spec)
    assert caught.value.http_status == status
    assert api.pay("pay-2").status == "succeeded"
    assert pay(api, fault_spec).status == "succeeded"


@pytest.mark.fault(12)
def test_metadata_faults_apply_in_turn_and_count_their_repetitions(api: Api) -> None:
    for _ in range(2):
        with pytest.raises(stripe.RateLimitError) as caught:
            pay(api, "rate_limited=7:2, answer_lost", key="k")
        assert headers_of(caught.value)["Retry-After"] == "7"
    with pytest.raises(stripe.APIConnectionError):
        pay(api, "rate_limited=7:2, answer_lost", key="k")
    assert headers_of(pay(api, "rate_limited=7:2, answer_lost", key="k"))["Idempotent-Replayed"] == "true"
    assert len(api.fake_stripe.ledger.captured()) == 1


@pytest.mark.fault(10, 11)
@pytest.mark.parametrize("word", ["server_error", "answer_lost"])
@pytest.mark.parametrize(("moment", "charges"), [("", 1), ("=after", 1), ("=before", 0)])
def test_word_when_it_names_the_moment_then_charge_went_through_or_not(
    api: Api, word: str, moment: str, charges: int
) -> None:
    with pytest.raises(stripe.StripeError):
        pay(api, word + moment)
    assert len(api.fake_stripe.ledger.captured()) == len(found(api)) == charges


@pytest.mark.fault(18)
def test_amount_and_status_altered_in_metadata_show_in_every_answer(api: Api) -> None:
    made = pay(api, "amount=1234 currency=eur status=frozen", key="k")
    again = pay(api, "amount=1234 currency=eur status=frozen", key="k")
    for shown in (made, again, api.intents.retrieve(made.id), *found(api)):
        assert (shown.amount, shown.amount_received, shown.currency, shown.status) == (1234, 1234, "eur", "frozen")
    assert [charge["amount"] for charge in api.fake_stripe.ledger.captured()] == [9999]
    assert api.pay("pay-2").amount == 9999


def test_amount_altered_for_some_answers_is_right_afterwards(api: Api) -> None:
    made = pay(api, "amount=1234:2")
    assert [made.amount, *(api.intents.retrieve(made.id).amount for _ in range(2))] == [1234, 1234, 9999]


def test_latency_in_metadata_delays_the_answer_not_its_logged_arrival(api: Api) -> None:
    arrived = api.now
    slow = threading.Thread(target=pay, args=(api, "latency=0.3"))
    start = time.monotonic()
    slow.start()
    while not api.fake_stripe.ledger.captured():
        time.sleep(0.005)
    api.now += timedelta(seconds=9)
    slow.join()
    assert time.monotonic() - start >= 0.3
    assert api.control("GET", "requests")["data"][-1]["at"] == arrived.isoformat(timespec="microseconds")


@pytest.mark.fault(20)
def test_key_when_forgotten_by_metadata_then_a_repetition_charges_again(api: Api) -> None:
    first = pay(api, "key_forgotten", key="k")
    assert pay(api, "key_forgotten", key="k").id != first.id
    assert headers_of(pay(api, "key_forgotten", key="k"))["Idempotent-Replayed"] == "true"
    assert len(api.fake_stripe.ledger.captured()) == 2


@pytest.mark.parametrize(
    "fault_spec",
    ["gremlins", "latency=soon", "latency=-1", "rate_limited:0", "answer_lost=now", "unauthorized=1", "amount", "=1"],
)
def test_wrong_metadata_fault_is_refused_with_reason_and_nothing_stored(api: Api, fault_spec: str) -> None:
    with pytest.raises(stripe.InvalidRequestError) as caught:
        pay(api, fault_spec)
    assert (caught.value.http_status, caught.value.param) == (400, "metadata[stand_in]")
    assert fault_spec in str(caught.value)
    assert api.intents.list().data == []


def test_word_when_it_is_unknown_then_refusal_names_the_known_ones() -> None:
    with pytest.raises(ValueError, match="settles_later, search_lag, search_refused, webhook_lost"):
        faults_of("pay-1", "gremlins")


def test_word_when_no_payment_is_named_then_is_refused(api: Api) -> None:
    with pytest.raises(stripe.InvalidRequestError, match="needs a payment_id"):
        api.pay(metadata={"stand_in": "answer_lost"})


# Over HTTP -------------------------------------------------------------------------------------------------------


def test_faults_when_set_for_one_payment_then_come_before_those_for_all() -> None:
    faults = Faults()
    faults.add(Fault(Kind.LATENCY, seconds=1, times=2))
    faults.add(Fault(Kind.LATENCY, payment_id="pay-1", seconds=2))
    struck = [faults.strike("POST", payment_id)[Kind.LATENCY].seconds for payment_id in ("pay-1", "pay-1", "pay-2")]
    assert struck == [2, 1, 1]
    assert list(faults) == []


@pytest.mark.parametrize(
    ("body", "times", "seconds"),
    [
        ({"kind": "webhook_lost"}, 1, 0),
        ({"kind": "webhook_late", "payment_id": "pay-1"}, EVERY_TIME, 5),
        ({"kind": "webhook_late", "payment_id": "pay-1", "times": 2, "seconds": 1}, 2, 1),
        ({"kind": "answer_lost", "payment_id": "pay-1"}, 1, 0),
    ],
)
def test_fault_when_times_and_seconds_are_left_out_then_has_its_kinds_own(
    body: dict[str, Any], times: int, seconds: float
) -> None:
    fault = Fault.parse(body)
    assert (fault.times, fault.seconds) == (times, seconds)


def test_fault_when_seconds_are_no_number_then_is_refused(api: Api) -> None:
    answer = api.web.post(f"{api.url}/_stand_in/faults", json={"kind": "latency", "seconds": "2"})
    assert (answer.status_code, answer.json()["error"]["message"]) == (400, "seconds must be a number of at least 0")


def test_answer_lost_before_execution_is_logged_as_unanswered(api: Api) -> None:
    api.control("POST", "faults", {"kind": "answer_lost", "executes": False})
    with pytest.raises(stripe.APIConnectionError):
        api.pay(key="k")
    assert [(entry["status"], entry["replayed"]) for entry in api.control("GET", "requests")["data"]] == [(0, False)]
    assert api.pay(key="k").status == "succeeded"


# Settings --------------------------------------------------------------------------------------------------------


def test_lagging_search_sees_changes_late_and_retrieve_at_once(api: Api) -> None:
    api.control("POST", "settings", {"search_lag_seconds": 3})
    made = api.pay("pay-1", confirm=False)
    assert found(api) == []
    api.now += timedelta(seconds=3)
    assert [intent.id for intent in found(api)] == [made.id]
    api.intents.confirm(made.id)
    assert found(api) == []
    assert api.intents.retrieve(made.id).status == "succeeded"
    api.now += timedelta(seconds=3)
    assert [intent.status for intent in found(api)] == ["succeeded"]


def test_search_when_it_lags_for_one_payment_then_sees_the_others(api: Api) -> None:
    pay(api, "search_lag=30")
    api.pay("pay-2")
    assert (len(found(api)), len(found(api, "pay-2"))) == (0, 1)
    api.now += timedelta(seconds=30)
    assert len(found(api)) == 1


def test_search_refused_for_one_payment_still_lists_and_finds_others(api: Api) -> None:
    pay(api, "search_refused")
    api.pay("pay-2")
    for _ in range(2):
        with pytest.raises(stripe.InvalidRequestError, match="unavailable in your region"):
            found(api)
    assert len(found(api, "pay-2")) == 1
    assert len(api.intents.list({"limit": 10}).data) == 2


def test_keys_when_their_hours_are_set_then_are_forgotten_after_them(api: Api) -> None:
    api.control("POST", "settings", {"idempotency_keys_hours": 0.5})
    first = api.pay(key="k")
    api.now += timedelta(minutes=29)
    assert api.pay(key="k").id == first.id
    api.now += timedelta(minutes=1)
    assert api.pay(key="k").id != first.id


def test_settings_when_changed_then_are_shown_and_a_reset_undoes_them(api: Api) -> None:
    fresh = api.control("GET", "settings")
    assert fresh == {
        "attempts_per_intent": 0,
        "create_names_source": 1,
        "endpoint_requests_per_second": 0,
        "metadata_phrases": 0,
        "permission_error_names_account": 1,
        "refund_outcome_seconds": 0.5,
        "requests_per_second": 0,
        "restricted_keys_read_account": 0,
        "search_requests_per_second": 0,
        "updates_per_intent_per_hour": 0,
        "search_lag_seconds": 0.0,
        "idempotency_keys_hours": 24.0,
        "webhook_retry_seconds": 0.5,
    }
    wanted = {"requests_per_second": 25, "search_lag_seconds": 60}
    api.control("POST", "settings", wanted)
    assert api.control("GET", "settings") == fresh | wanted
    api.control("POST", "reset")
    assert api.control("GET", "settings") == fresh


@pytest.mark.parametrize(
    "body",
    [{"search_lag": 1}, {"search_lag_seconds": -1}, {"requests_per_second": "5"}, {"requests_per_second": 0.5}, []],
)
def test_settings_when_one_is_wrong_then_nothing_is_changed(api: Api, body: Any) -> None:
    body = {"search_lag_seconds": 5} | body if isinstance(body, dict) else body
    assert api.web.post(f"{api.url}/_stand_in/settings", json=body).status_code == 400
    assert api.control("GET", "settings")["search_lag_seconds"] == 0


# Rates -----------------------------------------------------------------------------------------------------------


def test_rates_count_requests_by_status_when_the_limit_is_exceeded(api: Api) -> None:
    api.control("POST", "settings", {"requests_per_second": 2})
    first: datetime = api.now
    outcomes = []
    for moment in (0, 0.5, 0.9, 1.0, 1.2, 1.5):  # the window slides: 0.5 and 1.0 are still in it at 1.2
        api.now = first + timedelta(seconds=moment)
        try:
            outcomes.append(str(api.pay().status))
        except stripe.RateLimitError:
            outcomes.append("429")
    api.now += timedelta(seconds=5)
    found(api)
    assert outcomes == ["succeeded", "succeeded", "429", "succeeded", "429", "succeeded"]
    assert api.control("GET", "rates") == {
        "total": 6,
        "by_status": {"200": 4, "429": 2},
        "busiest_second": 4,
        "first_at": first.isoformat(timespec="microseconds"),
        "last_at": (first + timedelta(seconds=1.5)).isoformat(timespec="microseconds"),
    }


def test_rate_limit_holds_for_concurrent_requests(api: Api) -> None:
    api.control("POST", "settings", {"requests_per_second": 5})

    def attempt() -> None:
        try:
            api.pay()
        except stripe.RateLimitError:
            return

    threads = [threading.Thread(target=attempt) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    rates = api.control("GET", "rates")
    assert (rates["by_status"], rates["busiest_second"]) == ({"200": 5, "429": 15}, 20)
