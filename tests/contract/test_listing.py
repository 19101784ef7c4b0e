"""One suite for the lists of payments on DynamoDB (moto) and for their in-memory fake."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from fakes.listing import MemoryPaymentListing
from fakes.payments import MemoryPaymentStore
from payments.adapters.dynamodb import listing
from payments.adapters.dynamodb.listing import DynamoPaymentListing
from payments.adapters.dynamodb.payments import DynamoPaymentStore
from payments.adapters.dynamodb.tables import PAYMENTS
from payments.domain.clock import iso
from payments.domain.listing import EVERYTHING, BadCursor, Cursor, Page, Where
from payments.domain.payment import Payment
from payments.domain.statuses import Status
from payments.ports.payment_listing import PaymentListing
from payments.ports.payment_store import PaymentStore
from tests.moto_tables import aws_in_memory, create_table
from tests.unit.builders import NOON, after, payment

DAY = timedelta(days=1)
PENDING = Where(Status.PENDING)
SINCE, UNTIL = NOON - 30 * DAY, NOON.replace(hour=0) + DAY


@dataclass(frozen=True)
class Lists:
    """A store of payments and the lists over it."""

    store: PaymentStore
    listing: PaymentListing


@pytest.fixture(params=["memory", "dynamodb"])
def lists(request: pytest.FixtureRequest) -> Iterator[Lists]:
    if request.param == "memory":
        store = MemoryPaymentStore()
        yield Lists(store, MemoryPaymentListing(store))
        return
    with aws_in_memory():
        client = create_table(PAYMENTS)
        yield Lists(DynamoPaymentStore(client, PAYMENTS.name), DynamoPaymentListing(client, PAYMENTS.name))


_OF_ROW = ("submitted_by", "batch_id", "batch_line", "metadata_hash")
"""What a request does not have."""


def at(row: Payment, moment: datetime) -> Payment:
    """The payment, accepted at another time."""
    first = replace(row.history[0], at=iso(moment))
    return replace(row, created_at=iso(moment), updated_at=iso(moment), history=(first,))


def stored(lists: Lists, payment_id: str, moment: datetime = NOON, **more: Any) -> str:
    of_row = {name: more.pop(name) for name in _OF_ROW if name in more}
    row = payment(payment_id, method="", **more)  # no private fields to encrypt
    lists.store.create(replace(at(row, moment), **of_row))
    return payment_id


def move(lists: Lists, payment_id: str, moment: datetime) -> None:
    row = lists.store.get(payment_id)
    assert row
    lists.store.save(after(row, Status.PROCESSING, at=moment))


def ids(page: Page) -> list[str]:
    return [row.payment_id for row in page.payments]


def all_pages(ask: Callable[[Cursor | None], Page]) -> list[Page]:
    """The pages one after the other, each requested with the cursor of the page before, as a client does."""
    pages = [ask(None)]
    while pages[-1].next_cursor:
        assert len(pages) < 100, "it never ends"
        pages.append(ask(Cursor.parse(pages[-1].next_cursor)))
    return pages


def put_together(pages: Sequence[Page]) -> list[str]:
    return [payment_id for page in pages for payment_id in ids(page)]


def test_of_customer_when_it_has_payments_then_the_newest_first_and_whole(lists: Lists) -> None:
    for n in (2, 3, 1):
        stored(lists, f"pay_{n}", NOON + n * DAY, customer_id="cus_1")
    stored(lists, "other", customer_id="cus_2")

    page = lists.listing.of_customer("cus_1", where=EVERYTHING, limit=10)

    assert ids(page) == ["pay_3", "pay_2", "pay_1"]
    assert page.payments[0] == lists.store.get("pay_3")
    assert page.next_cursor == ""


def test_of_customer_when_there_are_none_then_an_empty_last_page(lists: Lists) -> None:
    assert lists.listing.of_customer("cus_1", where=EVERYTHING, limit=10) == Page([], "", 0)


def test_of_customer_when_the_page_is_exactly_full_then_it_is_the_last(lists: Lists) -> None:
    for n in range(2):
        stored(lists, f"pay_{n}", NOON + n * DAY, customer_id="cus_1")

    assert lists.listing.of_customer("cus_1", where=EVERYTHING, limit=2).next_cursor == ""
    assert lists.listing.of_customer("cus_1", where=EVERYTHING, limit=1).next_cursor == str(
        Cursor(iso(NOON + DAY), "pay_1")
    )


def test_of_customer_applies_status_submitter_and_times_together(lists: Lists) -> None:
    stored(lists, "too-old", NOON - timedelta(milliseconds=1), customer_id="cus_1", submitted_by="shop")
    stored(lists, "first", NOON, customer_id="cus_1", submitted_by="shop")
    stored(lists, "others", NOON + DAY, customer_id="cus_1", submitted_by="rival")
    stored(lists, "moved-on", NOON + DAY, customer_id="cus_1", submitted_by="shop")
    stored(lists, "last", NOON + 2 * DAY - timedelta(milliseconds=1), customer_id="cus_1", submitted_by="shop")
    stored(lists, "too-new", NOON + 2 * DAY, customer_id="cus_1", submitted_by="shop")
    move(lists, "moved-on", NOON + DAY)

    page = lists.listing.of_customer(
        "cus_1",
        where=Where(status=Status.PENDING, submitted_by="shop"),
        since=NOON,
        until=NOON + 2 * DAY,
        limit=10,
    )

    assert ids(page) == ["last", "first"]


def test_of_customer_with_a_foreign_cursor_lists_only_own_payments(lists: Lists) -> None:
    for n in range(4):
        stored(lists, f"pay_{n}", NOON + n * DAY, customer_id=f"cus_{n % 2}")
    foreign = Cursor.parse(lists.listing.of_customer("cus_1", where=EVERYTHING, limit=1).next_cursor)

    assert ids(lists.listing.of_customer("cus_0", where=EVERYTHING, limit=10, after=foreign)) == ["pay_2", "pay_0"]


@pytest.mark.parametrize("day", [-40, 0, 40])
def test_lists_accept_a_cursor_outside_of_their_times(lists: Lists, day: int) -> None:
    stored(lists, "pay_1", NOON, customer_id="cus_1")
    expected = ["pay_1"] if day > 0 else []
    for cursor in (Cursor(iso(NOON + day * DAY), "pay_1"), Cursor(iso(NOON + day * DAY)[:10])):
        times: Any = {"since": SINCE, "until": UNTIL, "limit": 5, "after": cursor}
        assert ids(lists.listing.of_customer("cus_1", where=EVERYTHING, **times)) == expected
        assert ids(lists.listing.all(where=EVERYTHING, **times)) == expected
        assert ids(lists.listing.all(where=PENDING, **times)) == expected


def test_all_when_days_have_none_then_the_newest_first_over_all_days(lists: Lists) -> None:
    moments = [NOON - timedelta(days=days, seconds=seconds) for days in (0, 1, 17, 29) for seconds in (0, 1)]
    for n, moment in enumerate(moments):
        stored(lists, f"pay_{n}", moment)

    page = lists.listing.all(where=EVERYTHING, since=SINCE, until=UNTIL, limit=100)

    assert ids(page) == [f"pay_{n}" for n in range(len(moments))]
    assert page.payments[0] == lists.store.get("pay_0")
    assert page.next_cursor == ""


def test_all_when_rows_lie_outside_of_the_times_then_they_are_left_out(lists: Lists) -> None:
    stored(lists, "too-old", NOON - timedelta(milliseconds=1))
    stored(lists, "first", NOON)
    stored(lists, "too-new", NOON + timedelta(hours=1))

    for status in (None, Status.PENDING):
        page = lists.listing.all(where=Where(status), since=NOON, until=NOON + timedelta(hours=1), limit=10)
        assert ids(page) == ["first"]


def test_all_when_a_status_is_asked_for_then_by_the_last_change(lists: Lists) -> None:
    for n in range(3):
        stored(lists, f"pay_{n}", NOON + timedelta(minutes=n))
    for n in (2, 0):
        move(lists, f"pay_{n}", NOON + timedelta(hours=1, minutes=-n))

    assert ids(lists.listing.all(where=Where(Status.PROCESSING), since=SINCE, until=UNTIL, limit=10)) == [
        "pay_0",
        "pay_2",
    ]
    assert ids(lists.listing.all(where=PENDING, since=SINCE, until=UNTIL, limit=10)) == ["pay_1"]


def test_all_when_years_have_none_then_short_pages_lead_to_the_end(lists: Lists) -> None:
    stored(lists, "old", datetime(2026, 2, 3, tzinfo=UTC))
    stored(lists, "new", NOON)
    since = datetime(2026, 1, 1, tzinfo=UTC)

    for status in (None, Status.PENDING):
        pages = all_pages(
            lambda cursor, status=status: lists.listing.all(  # type: ignore[misc]
                where=Where(status), since=since, until=UNTIL, limit=10, after=cursor
            )
        )
        assert put_together(pages) == ["new", "old"]


def test_all_continues_after_a_cursor_whose_row_has_moved_on(lists: Lists) -> None:
    for n in range(4):
        stored(lists, f"pay_{n}", NOON + timedelta(minutes=n))
    asked: Any = {"where": PENDING, "since": SINCE, "until": UNTIL, "limit": 2}
    first = lists.listing.all(**asked)
    move(lists, "pay_2", NOON + timedelta(hours=1))

    assert ids(first) == ["pay_3", "pay_2"]
    assert ids(lists.listing.all(**asked, after=Cursor.parse(first.next_cursor))) == ["pay_1", "pay_0"]


def test_all_of_a_day_applies_amount_and_currency_to_the_rows(lists: Lists) -> None:
    stored(lists, "euros", amount=2000, currency="EUR")
    stored(lists, "dollars", NOON + timedelta(minutes=1), amount=2000, currency="USD")
    stored(lists, "more", NOON + timedelta(minutes=2), amount=2100, currency="EUR")
    times: Any = {"since": SINCE, "until": UNTIL, "limit": 10}

    page = lists.listing.all(where=Where(currency="EUR", amount=Decimal("20")), **times)

    assert ids(page) == ["euros"]
    assert page.examined >= 1
    assert ids(lists.listing.all(where=Where(Status.PENDING, currency="EUR"), **times)) == ["more", "euros"]
    assert ids(lists.listing.all(where=Where(Status.DECLINED, currency="EUR"), **times)) == []


def test_of_batch_pages_follow_the_lines_and_apply_filters(lists: Lists) -> None:
    for line in range(2, 8):
        currency = "EUR" if line % 2 else "USD"
        stored(lists, f"pay_{line}", batch_id="b-1", batch_line=line, currency=currency)
    stored(lists, "other", batch_id="b-2", batch_line=2)

    pages = all_pages(lambda cursor: lists.listing.of_batch("b-1", where=EVERYTHING, limit=4, after=cursor))
    euros = all_pages(lambda cursor: lists.listing.of_batch("b-1", where=Where(currency="EUR"), limit=1, after=cursor))

    assert [ids(page) for page in pages] == [[f"pay_{line}" for line in (2, 3, 4, 5)], ["pay_6", "pay_7"]]
    assert put_together(euros) == ["pay_3", "pay_5", "pay_7"]


def test_of_metadata_when_rows_have_the_hash_then_the_newest_first(lists: Lists) -> None:
    for n, found in enumerate(("h1", "h2", "h1", "")):
        stored(lists, f"pay_{n}", NOON + n * DAY, metadata_hash=found, currency="EUR" if n else "USD")

    assert ids(lists.listing.of_metadata("h1", where=EVERYTHING, limit=10)) == ["pay_2", "pay_0"]
    assert ids(lists.listing.of_metadata("h1", where=Where(currency="EUR"), limit=10)) == ["pay_2"]
    assert ids(lists.listing.of_metadata("h1", where=EVERYTHING, until=NOON + DAY, limit=10)) == ["pay_0"]


def test_filter_that_finds_nothing_ends_its_pages_by_the_rows_examined(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "ROWS_A_READ", 3)
    monkeypatch.setattr(listing, "EXAMINED", 6)
    with aws_in_memory():
        client = create_table(PAYMENTS)
        lists = Lists(DynamoPaymentStore(client, PAYMENTS.name), DynamoPaymentListing(client, PAYMENTS.name))
        for n in range(14):
            stored(lists, f"pay_{n}", NOON - n * timedelta(minutes=1), batch_id="b-1", batch_line=n + 1)
        nothing = Where(currency="JPY")
        of_day = all_pages(
            lambda cursor: lists.listing.all(where=nothing, since=SINCE, until=UNTIL, limit=5, after=cursor)
        )
        of_batch = all_pages(lambda cursor: lists.listing.of_batch("b-1", where=nothing, limit=5, after=cursor))

    for pages in (of_day, of_batch):
        assert put_together(pages) == []
        assert [page.examined for page in pages] == [6, 6, 2]


Row = tuple[int, int, int, int]
ROWS = some.lists(
    some.tuples(some.integers(0, 3), some.integers(0, 3), some.integers(0, 1), some.integers(0, 1)), max_size=24
)
"""Day, minute (many share one), customer, and whether its status changed."""


def fill(lists: Lists, rows: list[Row]) -> None:
    for n, (day, minute, customer, moved_on) in enumerate(rows):
        moment = NOON - day * DAY + timedelta(minutes=minute)
        stored(lists, f"pay_{n}", moment, customer_id=f"cus_{customer}", submitted_by=f"shop_{n % 2}")
        if moved_on:
            move(lists, f"pay_{n}", moment)


def holds(lists: Lists, rows: list[Row], limit: int) -> None:
    """All pages together contain every row once, newest first, for every filter."""
    fill(lists, rows)
    numbered = [(f"pay_{n}", *row) for n, row in enumerate(rows)]
    times: Any = {"since": SINCE, "until": UNTIL, "limit": limit}
    asked: list[tuple[Callable[[Cursor | None], Page], set[str]]] = [
        (lambda cursor: lists.listing.all(where=EVERYTHING, **times, after=cursor), {row[0] for row in numbered}),
        (
            lambda cursor: lists.listing.all(where=PENDING, **times, after=cursor),
            {payment_id for payment_id, _, _, _, moved_on in numbered if not moved_on},
        ),
        (
            lambda cursor: lists.listing.of_customer("cus_1", where=EVERYTHING, **times, after=cursor),
            {payment_id for payment_id, _, _, customer, _ in numbered if customer == 1},
        ),
        (
            lambda cursor: lists.listing.of_customer(
                "cus_0", where=Where(submitted_by="shop_1"), limit=limit, after=cursor
            ),
            {row[0] for n, row in enumerate(numbered) if row[3] == 0 and n % 2},
        ),
    ]
    for ask, expected in asked:
        pages = all_pages(ask)
        together = put_together(pages)
        moments = [row.created_at for page in pages for row in page.payments]
        assert sorted(together) == sorted(expected)
        assert moments == sorted(moments, reverse=True)
        assert all(0 < len(page.payments) <= limit for page in pages[:-1])


@settings(max_examples=25)
@given(ROWS, some.integers(1, 6))
def test_memory_pages_hold_all_rows_once_newest_first(rows: list[Row], limit: int) -> None:
    store = MemoryPaymentStore()
    holds(Lists(store, MemoryPaymentListing(store)), rows, limit)


def test_dynamodb_pages_hold_all_rows_once_newest_first() -> None:
    with aws_in_memory():
        client = create_table(PAYMENTS)

        @settings(max_examples=8)
        @given(ROWS, some.integers(1, 6))
        def on_dynamodb(rows: list[Row], limit: int) -> None:
            client.delete_table(TableName=PAYMENTS.name)
            create_table(PAYMENTS)
            table = PAYMENTS.name
            holds(Lists(DynamoPaymentStore(client, table), DynamoPaymentListing(client, table)), rows, limit)

        on_dynamodb()


def test_cursor_when_written_and_read_then_the_same_and_fit_for_an_address() -> None:
    for cursor in (Cursor(iso(NOON), "pay_1-A"), Cursor("2026-11-21"), Cursor.of_line(17)):
        assert Cursor.parse(str(cursor)) == cursor
        assert str(cursor).replace("-", "").replace("_", "").isalnum()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "=",
        "!!!!",
        "pay_1",
        "é",
        "A" * 5000,
        str(Cursor("2026-13-01")),
        str(Cursor("2026-11-31T12:00:00.000Z", "pay_1")),
        str(Cursor(iso(NOON))),
        str(Cursor("2026-11-21", "pay_1")),
        str(Cursor("0001-01-01")),
        str(Cursor("2026-11-21T12:00:00Z", "pay_1")),
        str(Cursor(iso(NOON), "pay 1")),
        str(Cursor(iso(NOON), "p" * 65)),
    ],
)
def test_cursor_when_it_is_none_of_ours_then_refused(text: str) -> None:
    with pytest.raises(BadCursor):
        Cursor.parse(text)


@given(some.text())
def test_cursor_when_it_is_any_text_then_refused_or_a_position(text: str) -> None:
    with suppress(BadCursor):
        cursor = Cursor.parse(text)
        assert cursor.line is not None or cursor.newest
