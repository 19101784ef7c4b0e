"""Lists of payments over REST: parameters, visibility and format."""

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as some

from fakes.access_log import MemoryAccessLog
from fakes.customers import MemoryCustomerStore
from fakes.limits import MemoryLimitStore
from fakes.listing import MemoryPaymentListing
from fakes.payments import MemoryPaymentStore
from payments.domain.clock import iso
from payments.domain.customer import Customer
from payments.domain.identity import Caller, Role
from payments.domain.listing import Cursor
from payments.domain.statuses import Status
from payments.rest import listing as operations
from payments.rest.http import Problem, problem_answer
from payments.rest.listing import MAX_LIMIT, PARAMETERS, parse_query
from payments.rest.rate_limits import Kind, Limiter
from payments.rest.request import Request
from tests.unit.builders import NOON, after, payment

OPERATOR = Caller("operator", frozenset({Role.OPERATOR}))
SHOP = Caller("shop", frozenset({Role.MERCHANT}))
RIVAL = Caller("rival", frozenset({Role.MERCHANT}))
ANNA = Caller("anna", frozenset({Role.CUSTOMER}))
BOB = Caller("bob", frozenset({Role.CUSTOMER}))
ANNA_WITH_A_SHOP = Caller("anna", frozenset({Role.CUSTOMER, Role.MERCHANT}))
DAY = timedelta(days=1)


@dataclass
class ListingScenario:
    """The ports of the operations, with Anna as a customer of the shop."""

    customers: MemoryCustomerStore = field(default_factory=MemoryCustomerStore)
    access_log: MemoryAccessLog = field(default_factory=MemoryAccessLog)
    payments: MemoryPaymentStore = field(default_factory=MemoryPaymentStore)

    def __post_init__(self) -> None:
        self.listing = MemoryPaymentListing(self.payments)
        self.limiter = Limiter(MemoryLimitStore(), dict.fromkeys(Kind, 1000))
        self.customers.create(Customer("cus_anna", subject="anna", created_by="shop", version=1))

    def store(self, payment_id: str, moment: datetime = NOON, submitted_by: str = "shop", **more: Any) -> None:
        """An accepted payment of that time."""
        row = payment(payment_id, **more)
        self.payments.create(replace(row, created_at=iso(moment), updated_at=iso(moment), submitted_by=submitted_by))

    def call(
        self, operation: str, caller: Caller, query: Mapping[str, str] | None = None, customer_id: str = "cus_anna"
    ) -> tuple[int, Any]:
        """The status and the JSON of an operation's answer or problem."""
        request = Request(operation, caller, NOON, "r1", "192.0.2.1", {"customer_id": customer_id}, query or {}, {})
        try:
            answer = getattr(operations, operation)(request, self)
        except Problem as problem:
            answer = problem_answer(problem, "r1")
        return answer["statusCode"], json.loads(answer["body"])

    def of_anna(self, caller: Caller, **query: str) -> list[str]:
        """The ids that the caller is shown of Anna's payments."""
        status, body = self.call("list_customer_payments", caller, query)
        assert status == 200
        return [shown["payment_id"] for shown in body["payments"]]

    def of_all(self, **query: str) -> list[str]:
        """The ids that an operator is shown of all payments; `since` stands for `from`."""
        asked = {"from" if name == "since" else name: value for name, value in query.items()}
        status, body = self.call("list_payments", OPERATOR, asked)
        assert status == 200
        return [shown["payment_id"] for shown in body["payments"]]


def test_list_customer_payments_returns_summaries_without_sealed_fields() -> None:
    scenario = ListingScenario()
    scenario.store("pay_1", customer_id="cus_anna", metadata={"order": "A-17"}, description="shoes")

    assert scenario.call("list_customer_payments", ANNA) == (
        200,
        {
            "payments": [
                {
                    "payment_id": "pay_1",
                    "status": "pending",
                    "amount": 99.99,
                    "currency": "USD",
                    "customer_id": "cus_anna",
                    "created_at": iso(NOON),
                    "updated_at": iso(NOON),
                    "links": {"self": "/payments/pay_1"},
                }
            ],
            "links": {"self": "/customers/cus_anna/payments"},
        },
    )


@pytest.mark.parametrize(
    ("caller", "seen"),
    [
        (ANNA, ["pay_2", "pay_1"]),
        (OPERATOR, ["pay_2", "pay_1"]),
        (ANNA_WITH_A_SHOP, ["pay_2", "pay_1"]),
        (SHOP, ["pay_1"]),
    ],
)
def test_list_customer_payments_shows_a_merchant_only_its_own(caller: Caller, seen: list[str]) -> None:
    scenario = ListingScenario()
    scenario.store("pay_1", customer_id="cus_anna", submitted_by="shop")
    scenario.store("pay_2", NOON + DAY, customer_id="cus_anna", submitted_by="rival")
    scenario.store("other", NOON, customer_id="cus_bob", submitted_by="shop")

    assert scenario.of_anna(caller) == seen


@pytest.mark.fault(41)
@pytest.mark.parametrize("caller", [BOB, RIVAL])
def test_list_for_another_customer_gives_an_audited_404_as_if_unknown(caller: Caller) -> None:
    scenario = ListingScenario()
    scenario.store("pay_1", customer_id="cus_anna", submitted_by="rival")

    foreign = scenario.call("list_customer_payments", caller)
    unknown = scenario.call("list_customer_payments", caller, customer_id="cus_unknown")

    assert foreign == unknown
    assert foreign[0] == 404
    assert [(entry.subject, entry.resource_id) for entry in scenario.access_log.entries] == [
        (caller.subject, "cus_anna")
    ]


def test_list_payments_links_lead_through_all_pages() -> None:
    scenario = ListingScenario()
    for n in range(5):
        scenario.store(f"pay_{n}", NOON - n * DAY)
    query, seen = {"limit": "2", "from": "2026-11-01"}, []
    while True:
        _, body = scenario.call("list_payments", OPERATOR, query)
        seen += [shown["payment_id"] for shown in body["payments"]]
        assert dict(parse_qsl(urlsplit(body["links"]["self"]).query)) == query
        if "next_cursor" not in body:
            break
        query = dict(parse_qsl(urlsplit(body["links"]["next"]).query))
        assert query == {"limit": "2", "from": "2026-11-01", "cursor": body["next_cursor"]}

    assert seen == [f"pay_{n}" for n in range(5)]
    assert "next" not in body["links"]


def test_list_payments_without_a_time_covers_the_last_thirty_days() -> None:
    scenario = ListingScenario()
    scenario.store("a-moment-ahead", NOON + timedelta(minutes=1))
    scenario.store("recent", NOON - 29 * DAY)
    scenario.store("old", NOON - 30 * DAY)

    assert scenario.of_all() == ["a-moment-ahead", "recent"]
    assert scenario.of_all(since="2026-10-01") == ["a-moment-ahead", "recent", "old"]
    assert scenario.of_all(to="2026-10-22") == ["old"]


def test_list_payments_when_to_is_a_date_then_the_whole_day_is_in() -> None:
    scenario = ListingScenario()
    last = NOON.replace(hour=23, minute=59, second=59, microsecond=999_000)
    scenario.store("last-of-the-day", last - DAY)
    scenario.store("next-day", last - DAY + timedelta(milliseconds=1))

    assert scenario.of_all(to="2026-11-20") == ["last-of-the-day"]
    assert scenario.of_all(to="2026-11-20T23:59:59.999Z") == ["last-of-the-day"]
    assert scenario.of_all(to="2026-11-20T23:59:59Z") == []
    assert scenario.of_all(since="2026-11-20T23:59:59.999", to="2026-11-21T00:59:59+01:00") == []
    assert scenario.of_all(since="2026-11-21", to="2026-11-20") == []


def test_list_payments_when_a_status_is_given_then_the_last_change_counts() -> None:
    scenario = ListingScenario()
    scenario.store("waiting", NOON)
    scenario.store("moved", NOON - 40 * DAY)
    row = scenario.payments.get("moved")
    assert row
    scenario.payments.save(after(row, Status.PROCESSING, at=NOON - DAY))

    assert scenario.of_all(status="processing") == ["moved"]
    assert scenario.of_all(status="pending") == ["waiting"]


def test_parse_query_when_nothing_is_asked_then_the_defaults() -> None:
    asked = parse_query({})
    assert (asked.limit, asked.after, asked.status, asked.since, asked.until) == (20, None, None, None, None)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("limit", value) for value in ("", "0", "-1", "1.0", "ten", str(MAX_LIMIT + 1), "٣", "1e1", " 1")),
        *(("cursor", value) for value in ("", "nonsense", str(Cursor("2026-11-21", "pay_1")))),
        *(("status", value) for value in ("", "Pending", "paid")),
        *(("from", value) for value in ("", "yesterday", "2026-02-30", "20261121", "2026-W47-6", "1795262400")),
        *(("to", value) for value in ("2026-11-21 12:00", "2026-11-21T25:00:00Z", "0001-01-01T00:00:00+01:00")),
    ],
)
def test_parse_query_when_a_parameter_is_wrong_then_400_naming_it(name: str, value: str) -> None:
    with pytest.raises(Problem) as refused:
        parse_query({name: value, "limit": "5"} if name != "limit" else {name: value})

    assert refused.value.status == 400
    assert [error.field for error in refused.value.errors] == [name]


def test_parse_query_when_several_are_wrong_or_unknown_then_all_are_named() -> None:
    with pytest.raises(Problem) as refused:
        parse_query({"limit": "0", "cursor": "x", "status": "paid", "from": "x", "to": "x", "since": "2026-11-21"})

    fields = {error.field for error in refused.value.errors}
    assert fields == {*PARAMETERS, "parameter"}
    assert "unknown parameter 'since'" in str(refused.value.errors)


def test_parse_query_clamps_times_to_the_years_2000_and_3000() -> None:
    asked = parse_query({"from": "0001-01-01", "to": "9999-12-31"})

    assert asked.since
    assert asked.until
    assert (asked.since.year, asked.until.year) == (2000, 3000)


@given(some.dictionaries(some.sampled_from([*PARAMETERS, "x"]), some.text()))
def test_parse_query_when_it_is_any_text_then_taken_or_400(query: dict[str, str]) -> None:
    with suppress(Problem):
        assert 1 <= parse_query(query).limit <= MAX_LIMIT


def test_list_payments_when_the_cursor_is_broken_then_the_answer_names_it() -> None:
    status, body = ListingScenario().call("list_payments", OPERATOR, {"cursor": "broken"})

    assert status == 400
    assert body["errors"][0]["field"] == "cursor"
