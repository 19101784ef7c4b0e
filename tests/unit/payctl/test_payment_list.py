"""payctl payment list, customer payments and payment totals."""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from fakes.listing import MemoryPaymentListing
from fakes.payments import MemoryPaymentStore
from payctl import adapters
from payctl.failures import Exit
from payments.domain.clock import iso
from payments.domain.statuses import Status
from tests.unit.builders import NOON, after, payment
from tests.unit.payctl.scenarios import FakeApi, Payctl, fake_api, payctl_with

LISTED = {
    "payment_id": "pay_1",
    "status": "declined",
    "amount": 20.00,
    "currency": "EUR",
    "customer_id": "cus_1",
    "code": "lost_card",
    "created_at": "2026-11-21T12:00:00.000Z",
    "updated_at": "2026-11-21T12:00:01.000Z",
    "links": {"self": "/payments/pay_1"},
}


@pytest.fixture
def api() -> Iterator[FakeApi]:
    with fake_api() as started:
        yield started


@pytest.fixture
def payctl(api: FakeApi, tmp_path: Path) -> Payctl:
    return payctl_with(tmp_path, api_url=api.url)


def page(*payments: dict[str, Any], cursor: str = "") -> dict[str, Any]:
    return {"payments": payments, "examined": 7, "links": {}} | ({"next_cursor": cursor} if cursor else {})


def queries(api: FakeApi) -> list[dict[str, str]]:
    return [dict(parse_qsl(urlsplit(request.path).query)) for request in api.received]


def test_list_sends_every_filter_and_shows_what_was_found(api: FakeApi, payctl: Payctl) -> None:
    api.will_answer(200, page(LISTED))
    filters = ("--day", "2026-11-21", "--currency", "EUR", "--amount", "20.00", "--customer", "cus_1", "--batch", "b-1")
    more = ("--metadata", "order=A=17", "--gateway-reference", "pi_1", "--status", "declined")
    result = payctl("payment", "list", *filters, *more)
    assert result.exit_code == Exit.DONE, result.output
    for shown in ("pay_1", "declined", "EUR", "cus_1", "lost_card"):
        assert shown in result.stdout
    assert "1 shown, 7 examined" in result.stderr
    assert queries(api) == [
        {
            "day": "2026-11-21",
            "status": "declined",
            "currency": "EUR",
            "amount": "20.00",
            "customer_id": "cus_1",
            "batch_id": "b-1",
            "metadata": "order:A=17",
            "gateway_reference": "pi_1",
            "limit": "20",
        }
    ]


def test_list_follows_empty_pages_until_the_end(api: FakeApi, payctl: Payctl) -> None:
    api.will_answer(200, page(cursor="c1"))
    api.will_answer(200, page(LISTED))
    printed = json.loads(payctl("payment", "list", "--from", "2026-11-01", "--json").stdout)
    assert (len(printed["payments"]), printed["examined"], printed["complete"]) == (1, 14, True)
    assert [query.get("cursor") for query in queries(api)] == [None, "c1"]


def test_list_when_the_limit_is_reached_then_says_there_may_be_more(api: FakeApi, payctl: Payctl) -> None:
    api.will_answer(200, page(LISTED, LISTED, cursor="c1"))
    result = payctl("payment", "list", "--limit", "2")
    assert "there may be more" in result.stderr
    assert len(api.received) == 1


def test_list_when_the_api_refuses_a_filter_then_shows_what_to_add(api: FakeApi, payctl: Payctl) -> None:
    errors = [{"field": "currency", "message": "add day, customer_id or batch_id"}]
    api.will_answer(400, {"title": "Invalid request", "errors": errors})
    result = payctl("payment", "list", "--currency", "EUR")
    assert result.exit_code == Exit.FAILED
    assert "currency: add day, customer_id or batch_id" in result.stderr


def test_customer_payments_asks_for_the_customers_list(api: FakeApi, payctl: Payctl) -> None:
    api.will_answer(200, page(LISTED))
    result = payctl("customer", "payments", "cus_1", "--amount", "20.00", "--json")
    assert result.exit_code == Exit.DONE, result.output
    assert api.received[0].path == "/test/customers/cus_1/payments?amount=20.00&limit=20"


@pytest.fixture
def day(monkeypatch: pytest.MonkeyPatch) -> MemoryPaymentStore:
    """A day with payments in two currencies, and one of the day before."""
    store = MemoryPaymentStore()
    for n, (currency, declined) in enumerate([("EUR", False), ("EUR", False), ("USD", False), ("EUR", True)]):
        row = replace(payment(f"pay_{n}", method="", currency=currency, amount=1050), created_at=iso(NOON))
        store.create(after(row, Status.PROCESSING, Status.DECLINED) if declined else row)
    store.create(replace(payment("old", method=""), created_at=iso(NOON - timedelta(days=1))))
    monkeypatch.setattr(adapters, "listing", lambda _: MemoryPaymentListing(store))
    return store


def test_totals_of_a_day_are_summed_by_currency_and_status(day: MemoryPaymentStore, tmp_path: Path) -> None:
    payctl = payctl_with(tmp_path)
    printed = json.loads(payctl("payment", "totals", "--day", "2026-11-21", "--json").stdout)
    assert printed["complete"] is True
    assert [(one["currency"], one["status"], one["count"], one["amount"]) for one in printed["totals"]] == [
        ("EUR", "declined", 1, 10.5),
        ("EUR", "pending", 2, 21.0),
        ("USD", "pending", 1, 10.5),
    ]
    shown = payctl("payment", "totals", "--day", "2026-11-21")
    assert shown.exit_code == Exit.DONE
    assert "21.00" in shown.stdout


def test_totals_of_more_than_may_be_read_say_so_and_exit_1(day: MemoryPaymentStore, tmp_path: Path) -> None:
    result = payctl_with(tmp_path)("payment", "totals", "--day", "2026-11-21", "--most", "2")
    assert result.exit_code == Exit.FAILED
    assert "there are more" in result.stderr
    assert "export the payments table" in result.stderr
