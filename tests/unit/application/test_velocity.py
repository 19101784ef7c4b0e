"""Card testing: payments on many new cards from one source are held, ordinary shopping is not."""

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as some

from fakes.limits import MemoryLimitStore
from fakes.text_hasher import MemoryTextHasher
from payments.application.velocity import (
    CARD_TESTING,
    DAY,
    FEWEST_DECLINED,
    HOUR,
    MOST_CARDS,
    MOST_IN_ITEM,
    SLOT,
    Addresses,
    Buyer,
    Limits,
    MerchantLimits,
    MerchantTable,
    Source,
    Velocity,
    note_decline,
)
from payments.domain.money import Money
from payments.ports.limit_store import LimitsUnavailable
from tests.unit.builders import NOON

ONE, TEN = Money(100, "USD"), Money(1_000, "USD")
SECOND = timedelta(seconds=1)
SHOP = MerchantLimits(cards=30, small=8)
ADDRESS = MOST_CARDS[Source.ADDRESS]

BUYERS: dict[Source, Callable[[str], Buyer]] = {
    Source.ADDRESS: lambda n: Buyer(address=f"203.0.113.{n}"),
    Source.CUSTOMER: lambda n: Buyer(customer_id=f"cus_{n}"),
    Source.MERCHANT: lambda n: Buyer(merchant=f"shop{n}"),
    Source.SMALL: lambda n: Buyer(address=f"198.51.100.{n}", merchant="shop"),
}
LIMITS = {**MOST_CARDS, Source.MERCHANT: Limits(SHOP.cards), Source.SMALL: Limits(SHOP.small)}


class Counters:
    """Two instances of the function, on one table."""

    def __init__(self, limits: MerchantLimits = SHOP) -> None:
        self.store = MemoryLimitStore()
        hasher = MemoryTextHasher()
        self.instances = [Velocity(self.store, Addresses(hasher), MerchantTable(limits)) for _ in range(2)]
        self.calls = 0

    def pay(self, card: int | str, buyer: Buyer, money: Money = TEN, after: timedelta = SECOND * 0) -> bool:
        """Count a card, and return whether its payment is held."""
        self.calls += 1
        counted = self.instances[self.calls % 2].count(money, f"pm_{card}", buyer, at=NOON + after)
        assert counted.hold in ("", CARD_TESTING)
        return bool(counted.hold)

    def decline(self, card: int | str, buyer: Buyer, money: Money = TEN, after: timedelta = SECOND * 0) -> bool:
        """The same of a card that is declined if its payment is not held."""
        counted = self.instances[0].count(money, f"pm_{card}", buyer, at=NOON + after)
        if not counted.hold:
            note_decline(self.store, counted.counters, NOON + after)
        return bool(counted.hold)


@pytest.fixture
def counters() -> Counters:
    """Counters without a card."""
    return Counters()


@pytest.mark.fault(43)
@pytest.mark.parametrize("source", [Source.ADDRESS, Source.CUSTOMER, Source.MERCHANT])
def test_many_new_cards_are_held_also_with_large_amounts(counters: Counters, source: Source) -> None:
    most = LIMITS[source].cards
    held = [counters.pay(n, BUYERS[source]("1"), TEN, n * SECOND) for n in range(most + 5)]
    assert held == [False] * most + [True] * 5


@pytest.mark.fault(43, 72)
@pytest.mark.parametrize("source", [Source.ADDRESS, Source.CUSTOMER])
def test_small_amounts_are_held_sooner_and_then_large_ones_too(counters: Counters, source: Source) -> None:
    most, buyer = LIMITS[source].small, BUYERS[source]("1")
    held = [counters.pay(n, buyer, ONE, n * SECOND) for n in range(most + 2)]
    assert held == [False] * most + [True] * 2
    assert counters.pay(0, buyer, TEN)


@pytest.mark.fault(43, 72)
def test_small_amounts_from_many_addresses_are_held_for_their_merchant(counters: Counters) -> None:
    held = [counters.pay(n, BUYERS[Source.SMALL](str(n)), ONE, n * SECOND) for n in range(SHOP.small + 2)]
    assert held == [False] * SHOP.small + [True] * 2
    assert not counters.pay("other", BUYERS[Source.SMALL]("99"), TEN)  # ordinary amounts of the shop go on


@pytest.mark.fault(43, 72)
def test_buyers_with_addresses_do_not_count_for_their_merchant(counters: Counters) -> None:
    shoppers = [Buyer(f"203.0.{n // 250}.{n % 250}", f"cus_{n}", "shop") for n in range(500)]
    assert not any(counters.pay(n, shopper, TEN) for n, shopper in enumerate(shoppers))


@pytest.mark.fault(43)
@given(some.data())
def test_card_testing_in_any_interleaving_is_held_once_over_the_limit(data: some.DataObject) -> None:
    counters, most = Counters(), LIMITS[Source.CUSTOMER].small
    cards = data.draw(some.lists(some.integers(0, 12), max_size=40))
    seen: set[int] = set()
    for card in cards:
        seen.add(card)
        assert counters.pay(card, Buyer(customer_id="tester"), ONE) == (len(seen) > most)


@pytest.mark.fault(43)
@given(some.lists(some.tuples(some.integers(1, 99_999), some.integers(1, LIMITS[Source.CUSTOMER].small)), max_size=60))
def test_a_household_with_few_cards_is_never_held(payments: list[tuple[int, int]]) -> None:
    counters = Counters()
    for amount, card in payments:
        assert not counters.pay(card, Buyer("203.0.113.7", "cus_1", "shop"), Money(amount, "EUR"))


@pytest.mark.fault(43)
def test_one_source_over_its_limit_is_held_regardless_of_the_others(counters: Counters) -> None:
    for n in range(LIMITS[Source.CUSTOMER].small):
        counters.pay(n, Buyer(f"198.51.100.{n}", "cus_1"), ONE)
    assert counters.pay("last", Buyer("192.0.2.1", "cus_1"), ONE)
    assert not counters.pay("last", Buyer("192.0.2.1", "cus_2"), ONE)


@pytest.mark.fault(43)
def test_two_slots_count_together_and_older_ones_no_more(counters: Counters) -> None:
    most, buyer = ADDRESS.cards, BUYERS[Source.ADDRESS]("1")
    for n in range(most):
        counters.pay(n, buyer)
    assert counters.pay("a", buyer, after=SLOT)
    assert not counters.pay("b", buyer, after=2 * SLOT)


@pytest.mark.fault(43, 72)
def test_a_patient_tester_of_small_amounts_is_held_within_the_day(counters: Counters) -> None:
    buyer = BUYERS[Source.ADDRESS]("1")
    held = [counters.pay(n, buyer, ONE, n * timedelta(minutes=20)) for n in range(30)]
    assert held == [False] * ADDRESS.small_in_span + [True] * (30 - ADDRESS.small_in_span)
    assert not counters.pay("next", buyer, ONE, DAY)


@pytest.mark.fault(43, 72)
@pytest.mark.parametrize("source", BUYERS)
def test_a_source_is_held_once_most_of_its_cards_are_declined(counters: Counters, source: Source) -> None:
    counters = Counters(MerchantLimits(100, 100))
    money, gap = (ONE, 5 * timedelta(minutes=1)) if source is Source.SMALL else (TEN, timedelta(minutes=5))
    held = [counters.decline(n, BUYERS[source]("1"), money, n * gap) for n in range(FEWEST_DECLINED + 2)]
    assert held == [False] * FEWEST_DECLINED + [True] * 2


@pytest.mark.fault(43, 72)
def test_a_source_with_as_many_good_cards_is_not_held(counters: Counters) -> None:
    buyer = BUYERS[Source.ADDRESS]("1")
    for n in range(60):
        pay = counters.decline if n % 4 == 0 else counters.pay
        assert not pay(n, buyer, TEN, n * timedelta(minutes=12))


def test_declines_that_cannot_be_counted_raise_nothing() -> None:
    class Unavailable(MemoryLimitStore):
        def add(self, *_: object, **__: object) -> dict[str, frozenset[str]]:
            raise LimitsUnavailable("the table")

    note_decline(Unavailable(), "card cards#ip#1", NOON)
    note_decline(Unavailable(), "", NOON)


@pytest.mark.fault(43)
def test_known_cards_count_nothing(counters: Counters) -> None:
    counted = counters.instances[0].count(ONE, "", Buyer("203.0.113.7", "cus_1", "shop"), at=NOON)
    assert counted == ("", "")
    assert not counters.store.members


@pytest.mark.fault(43)
def test_neither_cards_nor_addresses_are_stored_but_their_hashes(counters: Counters) -> None:
    counted = counters.instances[0].count(ONE, "pm_secret", Buyer("203.0.113.7", merchant="shop"), at=NOON)
    for stored in (str(counters.store.members), counted.counters):
        assert "pm_secret" not in stored
        assert "203.0.113" not in stored
    assert counted.counters.split(" ")[1:] == list(counters.store.members)


def test_hash_of_an_address_has_another_key_each_day() -> None:
    addresses = Addresses(MemoryTextHasher())
    same = {addresses.hash_of(text, NOON) for text in ("2001:db8::7", "2001:db8::9", "2001:db8:0:0:ffff::1")}
    assert len(same) == 1
    assert addresses.hash_of("2001:db8:0:1::7", NOON) not in same
    assert addresses.hash_of("2001:db8::7", NOON + DAY) not in same


def test_key_of_a_day_is_one_request_to_kms() -> None:
    class Counting(MemoryTextHasher):
        asked = 0

        def hash_of(self, text: str) -> str:
            self.asked += 1
            return super().hash_of(text)

    hasher = Counting()
    addresses = Addresses(hasher)
    for n in range(50):
        addresses.hash_of(f"203.0.113.{n}", NOON)
    assert hasher.asked == 1


def test_a_merchant_with_a_high_limit_is_counted_in_small_items() -> None:
    limits = MerchantLimits(6_000, 600)
    counters = Counters(limits)
    held = [counters.pay(n, Buyer(merchant="shop"), ONE if n % 10 == 0 else TEN) for n in range(6_000)]
    assert not any(held)
    sizes = [len(members) for sets in counters.store.members.values() for members in sets.values()]
    assert max(sizes) <= MOST_IN_ITEM + 5 * MOST_IN_ITEM**0.5 + 6
    assert any(counters.pay(n, Buyer(merchant="shop")) for n in range(6_000, 12_000))


def test_merchants_when_listed_then_each_has_its_own_limits() -> None:
    table = MerchantTable.parse("120/24", "1abc=6000/600,2def=10/1")
    assert table.of("1abc") == (6_000, 600)
    assert table.of("2def") == (10, 1)
    assert table.of("another") == (120, 24)


def test_items_of_a_merchant_last_an_hour(counters: Counters) -> None:
    for n in range(SHOP.small):
        counters.pay(n, Buyer(merchant="shop"), ONE)
    assert counters.pay("a", Buyer(merchant="shop"), ONE)
    assert not counters.pay("a", Buyer(merchant="shop"), ONE, HOUR)


@pytest.mark.fault(72)
def test_forty_honest_buyers_behind_one_shop_are_not_held() -> None:
    counters = Counters(MerchantLimits())
    money = Money.parse(Decimal("4.90"), "EUR")
    assert not any(counters.pay(n, Buyer(merchant="shop"), money, n * SECOND) for n in range(40))


@pytest.mark.fault(72)
def test_cheap_tries_in_a_low_value_currency_are_held() -> None:
    counters = Counters(MerchantLimits())
    money = Money.parse(Decimal(175), "HUF")
    held = [counters.pay(n, Buyer(merchant="shop"), money, n * SECOND) for n in range(300)]
    assert held.index(True) <= 25
    assert sum(held) == 300 - held.index(True)
