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
from fakes.gateway import Fault, FaultKind, MemoryGateway
from fakes.limits import MemoryLimitStore
from fakes.listing import MemoryPaymentListing
from fakes.payments import MemoryPaymentStore
from fakes.text_hasher import MemoryTextHasher
from payments.application.searchable_metadata import SearchableMetadata
from payments.domain.clock import iso
from payments.domain.customer import Customer
from payments.domain.identity import Caller, Role
from payments.domain.listing import EVERYTHING, Cursor
from payments.domain.statuses import Status
from payments.ports.payment_gateway import ChargeRequest
from payments.ports.reference_lookup import ReferenceLookup
from payments.rest import listing as operations
from payments.rest.http import Problem, problem_answer
from payments.rest.list_query import MAX_LIMIT, OF_A_PAGE, OF_ALL, parse_query
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


class Renamed:
    """The fake gateway, whose references begin with another prefix than Stripe's."""

    def __init__(self, gateway: MemoryGateway) -> None:
        self._gateway = gateway

    def ids_of(self, reference: str) -> tuple[str, str]:
        return self._gateway.ids_of(reference.replace("pi_", "mem_"))


@dataclass
class ListingScenario:
    """The ports of the operations, with Anna as a customer of the shop."""

    customers: MemoryCustomerStore = field(default_factory=MemoryCustomerStore)
    access_log: MemoryAccessLog = field(default_factory=MemoryAccessLog)
    payments: MemoryPaymentStore = field(default_factory=MemoryPaymentStore)

    gateway: MemoryGateway = field(default_factory=MemoryGateway)
    searchable: SearchableMetadata = field(default_factory=lambda: SearchableMetadata("order", MemoryTextHasher()))
    environment_id: str = "env1"

    def __post_init__(self) -> None:
        self.references: ReferenceLookup = self.gateway
        self.listing = MemoryPaymentListing(self.payments)
        self.limiter = Limiter(MemoryLimitStore(), dict.fromkeys(Kind, 1000))
        self.customers.create(Customer("cus_anna", subject="anna", created_by="shop", version=1))

    def store(self, payment_id: str, moment: datetime = NOON, submitted_by: str = "shop", **more: Any) -> None:
        """An accepted payment of that time."""
        of_row = {name: more.pop(name) for name in ("batch_id", "batch_line", "metadata_hash") if name in more}
        row = payment(payment_id, **more)
        times: Any = {"created_at": iso(moment), "updated_at": iso(moment)}
        self.payments.create(replace(row, **times, submitted_by=submitted_by, **of_row))

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
            "examined": 1,
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
    assert (asked.limit, asked.after, asked.where, asked.since, asked.until) == (20, None, EVERYTHING, None, None)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("limit", value) for value in ("", "0", "-1", "1.0", "ten", str(MAX_LIMIT + 1), "٣", "1e1", " 1")),
        *(("cursor", value) for value in ("", "nonsense", str(Cursor("2026-11-21", "pay_1")))),
        *(("status", value) for value in ("", "Pending", "paid")),
        *(("from", value) for value in ("", "yesterday", "2026-02-30", "20261121", "2026-W47-6", "1795262400")),
        *(("day", value) for value in ("", "2026-02-30", "2026-11-21T12:00:00Z")),
        *(("currency", value) for value in ("", "usd", "XXZ")),
        *(("amount", value) for value in ("", "-1", "1e3", "1,00", "NaN", "٣")),
        *(("customer_id", value) for value in ("", "a b")),
        *(("batch_id", value) for value in ("", "a/b")),
        *(("metadata", value) for value in ("", "order", "order:", "other:1", "order:\ud800")),
        *(("gateway_reference", value) for value in ("", "ch_1", "pi_", "pi_1 OR")),
        *(("to", value) for value in ("2026-11-21 12:00", "2026-11-21T25:00:00Z", "0001-01-01T00:00:00+01:00")),
    ],
)
def test_parse_query_when_a_parameter_is_wrong_then_400_naming_it(name: str, value: str) -> None:
    with pytest.raises(Problem) as refused:
        parse_query({"limit": "5"} | {name: value}, OF_ALL, searchable="order")

    assert refused.value.status == 400
    assert [error.field for error in refused.value.errors] == [name]


def test_parse_query_when_several_are_wrong_or_unknown_then_all_are_named() -> None:
    with pytest.raises(Problem) as refused:
        parse_query({"limit": "0", "cursor": "x", "status": "paid", "from": "x", "to": "x", "since": "2026-11-21"})

    fields = {error.field for error in refused.value.errors}
    assert fields == {*OF_A_PAGE, "parameter"}
    assert "unknown parameter 'since'" in str(refused.value.errors)


def test_parse_query_clamps_times_to_the_years_2000_and_3000() -> None:
    asked = parse_query({"from": "0001-01-01", "to": "9999-12-31"})

    assert asked.since
    assert asked.until
    assert (asked.since.year, asked.until.year) == (2000, 3000)


@given(some.dictionaries(some.sampled_from([*OF_ALL, "x"]), some.text()))
def test_parse_query_when_it_is_any_text_then_taken_or_400(query: dict[str, str]) -> None:
    with suppress(Problem):
        assert 1 <= parse_query(query, OF_ALL, searchable="order").limit <= MAX_LIMIT


def test_list_payments_when_the_cursor_is_broken_then_the_answer_names_it() -> None:
    status, body = ListingScenario().call("list_payments", OPERATOR, {"cursor": "broken"})

    assert status == 400
    assert body["errors"][0]["field"] == "cursor"


# Filters -----------------------------------------------------------------------------------------------------------


def test_list_payments_of_a_day_filters_by_currency_and_amount() -> None:
    scenario = ListingScenario()
    scenario.store("euros", currency="EUR", amount=2000)
    scenario.store("dollars", currency="USD", amount=2000)
    scenario.store("more", NOON - timedelta(minutes=1), currency="EUR", amount=2100)
    scenario.store("yesterday", NOON - DAY, currency="EUR", amount=2000)

    assert scenario.of_all(day="2026-11-21", currency="EUR") == ["euros", "more"]
    assert scenario.of_all(day="2026-11-21", currency="EUR", amount="20") == ["euros"]
    assert scenario.of_all(day="2026-11-21", status="declined", currency="EUR") == []
    assert scenario.of_all(since="2026-11-20T12:00:00Z", to="2026-11-21T11:58:58Z", currency="EUR") == ["yesterday"]


@pytest.mark.parametrize("wide", [{}, {"from": "2026-11-01"}, {"status": "pending"}])
def test_filter_that_no_index_holds_needs_a_day_and_says_so(wide: dict[str, str]) -> None:
    status, body = ListingScenario().call("list_payments", OPERATOR, {"currency": "EUR", "amount": "20.00", **wide})

    assert status == 400
    assert [error["field"] for error in body["errors"]] == ["currency", "amount"]
    assert "add day, customer_id or batch_id, or export the table" in body["errors"][0]["message"]


def test_list_payments_filters_by_customer_and_batch() -> None:
    scenario = ListingScenario()
    scenario.store("anna", customer_id="cus_anna", currency="EUR")
    scenario.store("row_3", batch_id="b-1", batch_line=3, currency="EUR")
    scenario.store("row_2", batch_id="b-1", batch_line=2, currency="USD")
    scenario.store("annas_row", batch_id="b-2", batch_line=2, customer_id="cus_anna", currency="USD")

    assert scenario.of_all(customer_id="cus_anna", currency="EUR") == ["anna"]
    assert scenario.of_all(customer_id="cus_anna", batch_id="b-2") == ["annas_row"]
    assert scenario.of_all(batch_id="b-1") == ["row_2", "row_3"]
    assert scenario.of_all(batch_id="b-1", currency="EUR") == ["row_3"]
    assert scenario.call("list_payments", OPERATOR, {"batch_id": "b-1", "day": "2026-11-21"})[0] == 400


def test_cursor_of_another_list_is_refused() -> None:
    scenario = ListingScenario()
    of_line, of_time = str(Cursor.of_line(3)), str(Cursor(iso(NOON), "pay_1"))

    for query in ({"cursor": of_line}, {"cursor": of_time, "batch_id": "b-1"}):
        status, body = scenario.call("list_payments", OPERATOR, query)
        assert (status, body["errors"][0]["field"]) == (400, "cursor")


def test_metadata_is_found_by_its_hash_for_staff_and_its_customer() -> None:
    scenario = ListingScenario()
    found = scenario.searchable.hash_of({"order": "A-17"})
    scenario.store("ours", customer_id="cus_anna", metadata_hash=found)
    scenario.store("bobs", NOON - DAY, customer_id="cus_bob", metadata_hash=found)
    scenario.store("other", customer_id="cus_anna", metadata_hash=scenario.searchable.hash_of({"order": "A-18"}))

    assert scenario.of_all(metadata="order:A-17") == ["ours", "bobs"]
    assert scenario.of_all(metadata="order:A-17", day="2026-11-20") == ["bobs"]
    assert scenario.of_all(metadata="order:A-17", customer_id="cus_bob") == ["bobs"]
    assert scenario.of_anna(ANNA, metadata="order:A-17") == ["ours"]


def test_metadata_when_no_key_is_declared_then_400_says_which_setting() -> None:
    scenario = ListingScenario(searchable=SearchableMetadata("", MemoryTextHasher()))
    status, body = scenario.call("list_payments", OPERATOR, {"metadata": "order:A-17"})

    assert status == 400
    assert "SEARCHABLE_METADATA" in body["errors"][0]["message"]


def charged(scenario: ListingScenario, environment_id: str = "env1") -> str:
    """The reference of pay_1's charge at the gateway."""
    row = payment("pay_1")
    return scenario.gateway.charge(
        ChargeRequest("pay_1", row.money, "pm_card_visa", environment_id=environment_id)
    ).reference


def test_gateway_reference_finds_the_payment_that_the_charge_names() -> None:
    scenario = ListingScenario()
    scenario.store("pay_1", currency="USD")
    reference = charged(scenario).replace("mem", "pi")
    scenario.references = Renamed(scenario.gateway)

    assert scenario.of_all(gateway_reference=reference) == ["pay_1"]
    assert scenario.of_all(gateway_reference=reference, currency="EUR") == []
    assert scenario.of_all(gateway_reference="pi_unknown") == []


def test_gateway_reference_of_another_environment_is_none_of_ours() -> None:
    scenario = ListingScenario()
    scenario.store("pay_1")
    reference = charged(scenario, "env2").replace("mem", "pi")
    scenario.references = Renamed(scenario.gateway)

    assert scenario.of_all(gateway_reference=reference) == []


def test_gateway_reference_without_an_answer_is_503() -> None:
    scenario = ListingScenario()
    reference = charged(scenario).replace("mem", "pi")
    scenario.gateway.fail(Fault(FaultKind.ANSWER_LOST, call="ids_of"))
    scenario.references = Renamed(scenario.gateway)

    assert scenario.call("list_payments", OPERATOR, {"gateway_reference": reference})[0] == 503
