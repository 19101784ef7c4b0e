"""Card testing: small charges on many cards from one source are held, ordinary shopping is not."""

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as some

from fakes.limits import MemoryLimitStore
from payments.application.velocity import CARD_TESTING, MOST_CARDS, WINDOW, Source, Velocity, small
from payments.domain.money import Money
from tests.unit.builders import NOON

ONE = Money(100, "USD")

From = Callable[[str], dict[str, str]]
SOURCES: dict[Source, From] = {
    Source.IP: lambda who: {"ip": who},
    Source.CUSTOMER: lambda who: {"customer_id": who},
    Source.SUBJECT: lambda who: {"subject": who},
}


def velocities() -> list[Velocity]:
    """Two instances of the function, on one table."""
    store = MemoryLimitStore()
    return [Velocity(store), Velocity(store)]


@pytest.mark.fault(43)
@pytest.mark.parametrize("source", Source)
def test_small_charges_on_many_cards_are_held_across_instances(source: Source) -> None:
    instances, tester = velocities(), SOURCES[source]("tester")

    holds = [
        instances[n % 2].hold(ONE, f"pm_{n}", at=NOON + n * timedelta(seconds=1), **tester)
        for n in range(MOST_CARDS[source] + 5)
    ]

    assert holds == [""] * MOST_CARDS[source] + [CARD_TESTING] * 5


@pytest.mark.fault(43)
@given(some.data())
def test_card_testing_in_any_interleaving_is_held_once_over_the_limit(
    data: some.DataObject,
) -> None:
    instances, source = velocities(), Source.CUSTOMER
    cards = data.draw(some.lists(some.integers(0, 12), max_size=40))
    turns = data.draw(some.lists(some.integers(0, 1), min_size=len(cards), max_size=len(cards)))
    seen: set[int] = set()
    for card, turn in zip(cards, turns, strict=True):
        seen.add(card)
        held = instances[turn].hold(ONE, f"pm_{card}", at=NOON, **SOURCES[source]("tester"))
        assert bool(held) == (len(seen) > MOST_CARDS[source])


@pytest.mark.fault(43)
@given(
    some.lists(some.tuples(some.integers(1, 500), some.integers(1, MOST_CARDS[Source.CUSTOMER])), max_size=60),
    some.lists(some.tuples(some.integers(501, 99_999), some.integers(0, 1000)), max_size=60),
)
def test_ordinary_shopping_with_few_cards_or_larger_sums_is_never_held(
    few_cards: list[tuple[int, int]], larger: list[tuple[int, int]]
) -> None:
    instances = velocities()
    shopper = {"ip": "203.0.113.7", "customer_id": "cus_1", "subject": "shop"}

    for n, (amount, card) in enumerate([*few_cards, *larger]):
        assert not instances[n % 2].hold(Money(amount, "EUR"), f"pm_{card}", at=NOON, **shopper)


@pytest.mark.fault(43)
def test_one_source_over_its_limit_is_held_regardless_of_the_others() -> None:
    velocity, _ = velocities()
    for n in range(MOST_CARDS[Source.CUSTOMER]):
        velocity.hold(ONE, f"pm_{n}", at=NOON, ip=f"198.51.100.{n}", customer_id="cus_1")

    assert velocity.hold(ONE, "pm_last", at=NOON, ip="192.0.2.1", customer_id="cus_1") == CARD_TESTING
    assert not velocity.hold(ONE, "pm_last", at=NOON, ip="192.0.2.1", customer_id="cus_2")


@pytest.mark.fault(43)
def test_window_when_it_is_over_then_cards_are_counted_anew() -> None:
    velocity, _ = velocities()
    for n in range(MOST_CARDS[Source.CUSTOMER] + 1):
        velocity.hold(ONE, f"pm_{n}", at=NOON, customer_id="cus_1")
    last = NOON + WINDOW - timedelta(milliseconds=1)

    assert velocity.hold(ONE, "pm_1", at=last, customer_id="cus_1") == CARD_TESTING
    assert not velocity.hold(ONE, "pm_1", at=NOON + WINDOW, customer_id="cus_1")


@pytest.mark.fault(43)
def test_payment_without_own_method_when_repeated_then_it_counts_nothing() -> None:
    store = MemoryLimitStore()
    for n in range(9):
        assert not Velocity(store).hold(ONE, "", at=NOON, customer_id=f"cus_{n}", ip="203.0.113.7")

    assert not store.members


@pytest.mark.fault(43)
def test_cards_when_counted_then_only_their_hashes_are_kept() -> None:
    store = MemoryLimitStore()
    Velocity(store).hold(ONE, "pm_secret", at=NOON, ip="203.0.113.7")

    assert "pm_secret" not in str(store.members)
    ((name, cards),) = store.members.items()
    assert name.startswith("cards#ip#203.0.113.7#")
    assert len(cards) == 1


@pytest.mark.parametrize(("most", "currency"), [("5.00", "USD"), ("500", "JPY"), ("5.000", "KWD"), ("0.1000", "CLF")])
def test_small_includes_the_limit_and_excludes_one_unit_more(most: str, currency: str) -> None:
    edge = Money.parse(Decimal(most), currency)

    assert small(edge)
    assert not small(Money(edge.minor_units + 1, currency))
