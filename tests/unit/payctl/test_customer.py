"""payctl customer, against an API with prepared answers."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from payctl import customer, prompts
from payctl.api import Answer, Refused
from payctl.failures import Exit
from tests.unit.payctl.scenarios import Payctl, payctl_with

JO = {
    "customer_id": "cus_1",
    "email": "jo@example.com",
    "name": "[red]Jo[/red]",
    "default_payment_method": "****visa",
    "created_at": "2026-11-21T12:00:00.000Z",
    "updated_at": "2026-11-21T12:00:00.000Z",
    "links": {"self": "/customers/cus_1", "payments": "/customers/cus_1/payments"},
}
UNKNOWN = {"title": "Not found", "detail": "no customer has this customer_id", "instance": "request-7"}


@dataclass
class FakeApi:
    """Answers every call with `status`, `body` and `headers`, and records the calls."""

    status: int = 200
    body: dict[str, Any] = field(default_factory=lambda: dict(JO))
    headers: dict[str, str] = field(default_factory=dict)
    calls: list[tuple[str, str, Mapping[str, Any] | None]] = field(default_factory=list)

    def call(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Answer:
        """As that of payctl.api.Api."""
        self.calls.append((method, path, body))
        if self.status >= 400:
            raise Refused(self.status, self.body)
        return Answer(self.status, self.body, self.headers)


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> FakeApi:
    api = FakeApi()
    monkeypatch.setattr(customer, "Api", lambda stack: api)
    return api


@pytest.fixture
def payctl(tmp_path: Path) -> Payctl:
    return payctl_with(tmp_path)


def test_create_sends_all_options_and_shows_the_customer(api: FakeApi, payctl: Payctl) -> None:
    more = ("--name", "Jo", "--method", "pm_card_visa", "--subject", "sub_jo")
    result = payctl("customer", "create", "cus_1", "--email", "jo@example.com", *more)
    assert result.exit_code == Exit.DONE
    for shown in ("cus_1", "jo@example.com", "[red]Jo[/red]", "****visa", "test"):
        assert shown in result.stdout
    body = {
        "customer_id": "cus_1",
        "email": "jo@example.com",
        "name": "Jo",
        "default_payment_method": "pm_card_visa",
        "subject": "sub_jo",
    }
    assert api.calls == [("POST", "/customers", body)]


def test_create_when_little_is_given_then_sends_no_more(api: FakeApi, payctl: Payctl) -> None:
    result = payctl("customer", "create", "cus_1", "--email", "jo@example.com", "--json")
    assert json.loads(result.stdout) == JO
    assert api.calls == [("POST", "/customers", {"customer_id": "cus_1", "email": "jo@example.com"})]


def test_create_when_it_was_created_before_then_says_so(api: FakeApi, payctl: Payctl) -> None:
    api.headers = {"Idempotent-Replayed": "true"}
    result = payctl("customer", "create", "cus_1", "--email", "jo@example.com")
    assert result.exit_code == Exit.DONE
    assert "cus_1 already existed" in result.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("create", "cus 1", "--email", "jo@example.com"),
        ("create", "cus_1", "--email", "jo@4242424242424242"),
        ("create", "cus_1", "--email", "jo@example.com", "--name", "4242 4242 4242 4242"),
        ("create", "cus_1", "--email", "jo@example.com", "--method", "pm-1"),
        ("show", "../health"),
        ("set-default", "cus 1", "pm_card_visa"),
        ("set-default", "cus_1", "pm-1"),
        ("set-default", "cus_1", "4242424242424242"),
        ("erase", "cus 1", "--yes"),
        ("find", "--email", "jo"),
    ],
)
def test_customer_neither_sends_nor_repeats_an_invalid_value(
    arguments: tuple[str, ...], api: FakeApi, payctl: Payctl
) -> None:
    result = payctl("customer", *arguments)
    assert result.exit_code == Exit.USAGE
    assert "4242" not in result.output
    assert api.calls == []


def test_show_when_there_is_one_then_shows_it(api: FakeApi, payctl: Payctl) -> None:
    assert "jo@example.com" in payctl("customer", "show", "cus_1").stdout
    assert json.loads(payctl("customer", "show", "cus_1", "--json").stdout) == JO
    assert api.calls == [("GET", "/customers/cus_1", None)] * 2


def test_show_displays_a_row_without_an_owner(api: FakeApi, payctl: Payctl) -> None:
    api.body = {"customer_id": "cus_1", "default_payment_method": "****visa"}
    assert "****visa" in payctl("customer", "show", "cus_1").stdout


def test_show_when_there_is_none_then_exits_1(api: FakeApi, payctl: Payctl) -> None:
    api.status, api.body = 404, UNKNOWN
    result = payctl("customer", "show", "cus_1")
    assert result.exit_code == Exit.FAILED
    assert "Not found (404): no customer has this customer_id" in result.stderr


def test_set_default_when_given_then_changes_that_alone(api: FakeApi, payctl: Payctl) -> None:
    assert "****visa" in payctl("customer", "set-default", "cus_1", "pm_card_visa").stdout
    assert json.loads(payctl("customer", "set-default", "cus_1", "pm_card_visa", "--json").stdout) == JO
    assert api.calls == [("PATCH", "/customers/cus_1", {"default_payment_method": "pm_card_visa"})] * 2


def test_set_default_says_how_to_create_an_unknown_customer(api: FakeApi, payctl: Payctl) -> None:
    api.status, api.body = 404, UNKNOWN
    result = payctl("customer", "set-default", "cus_1", "pm_card_visa")
    assert result.exit_code == Exit.FAILED
    assert "payctl customer create cus_1 --email" in result.stderr
    assert "request-7" in result.stderr


def test_set_default_when_refused_otherwise_then_tells_that_alone(api: FakeApi, payctl: Payctl) -> None:
    api.status, api.body = 403, {"title": "Your role does not allow this"}
    result = payctl("customer", "set-default", "cus_1", "pm_card_visa")
    assert "Your role does not allow this (403)" in result.stderr
    assert "create" not in result.stderr


def test_cards_lists_each_with_its_end_and_which_is_the_default(api: FakeApi, payctl: Payctl) -> None:
    card = {"id": "pm_1", "brand": "visa", "last4": "4242", "exp_month": 7, "exp_year": 2034, "default": True}
    api.body = {"payment_methods": [card], "links": {"self": "/customers/cus_1/payment-methods"}}
    shown = payctl("customer", "cards", "cus_1").stdout
    assert all(text in shown for text in ("pm_1", "visa", "****4242", "07/2034", "yes"))
    assert json.loads(payctl("customer", "cards", "cus_1", "--json").stdout) == api.body
    assert api.calls == [("GET", "/customers/cus_1/payment-methods", None)] * 2


def test_erase_needs_yes_without_a_terminal(api: FakeApi, payctl: Payctl) -> None:
    refused = payctl("customer", "erase", "cus_1")
    assert refused.exit_code == Exit.USAGE
    assert "--yes" in refused.stderr
    assert api.calls == []
    erased = payctl("customer", "erase", "cus_1", "--yes", "--json")
    assert json.loads(erased.stdout) == {"environment": "test", "customer_id": "cus_1", "erased": True}
    assert api.calls == [("DELETE", "/customers/cus_1", None)]


@pytest.mark.parametrize(("answer", "calls"), [("y", [("DELETE", "/customers/cus_1", None)]), ("n", [])])
def test_erase_when_at_a_terminal_then_asks(
    answer: str, calls: list[Any], api: FakeApi, payctl: Payctl, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prompts, "at_a_terminal", lambda: True)
    result = payctl("customer", "erase", "cus_1", stdin=f"{answer}\n")
    assert "permanently erases" in result.stderr
    assert ("is erased" in result.stdout) is bool(calls)
    assert api.calls == calls


def test_find_lists_all_matches_and_escapes_the_address_in_the_url(api: FakeApi, payctl: Payctl) -> None:
    api.body = {"customers": [JO, {"customer_id": "cus_2"}], "complete": True}
    result = payctl("customer", "find", "--email", " jo+a&b@example.com ")
    for shown in ("cus_1", "[red]Jo[/red]", "cus_2"):
        assert shown in result.stdout
    assert "not shown" not in result.stderr
    assert api.calls == [("GET", "/customers?email=jo%2Ba%26b%40example.com", None)]
    assert json.loads(payctl("customer", "find", "--email", "jo@example.com", "--json").stdout) == api.body


def test_find_follows_the_pages_to_the_last_one(api: FakeApi, payctl: Payctl, monkeypatch: pytest.MonkeyPatch) -> None:
    pages: list[dict[str, Any]] = [
        {"customers": [JO], "complete": False, "next_cursor": "c1"},
        {"customers": [{"customer_id": "cus_2"}], "complete": True},
    ]
    call = api.call

    def page(*request: Any) -> Answer:
        api.body = pages.pop(0)
        return call(*request)

    monkeypatch.setattr(api, "call", page)
    result = payctl("customer", "find", "--email", "jo@example.com", "--json")
    assert json.loads(result.stdout) == {"customers": [JO, {"customer_id": "cus_2"}], "complete": True}
    assert [path for _, path, _ in api.calls] == [
        "/customers?email=jo%40example.com",
        "/customers?email=jo%40example.com&cursor=c1",
    ]


def test_find_when_some_are_left_out_then_says_so(api: FakeApi, payctl: Payctl) -> None:
    api.body = {"customers": [JO], "complete": False}
    assert (
        "there are more customers with this address" in payctl("customer", "find", "--email", "jo@example.com").stderr
    )
