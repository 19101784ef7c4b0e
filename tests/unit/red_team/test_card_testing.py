"""Card testing against honest trade: no honest buyer is held on an honest day, and every tester within 25 cards.

The whole day at 20 payments a second takes minutes: `python -m tests.unit.red_team.card_testing_day --rate 20`.
"""

import random
from functools import cache
from heapq import merge
from itertools import takewhile

import pytest

from payments.application.velocity import MerchantTable
from tests.unit.red_team.card_testing_day import (
    CARDS,
    PATTERNS,
    Merchant,
    Outcome,
    Pattern,
    Payment,
    honest,
    merchants,
    run,
    table_of,
    tries_of,
)

RATE = 20.0
HELD_WITHIN = 25
EVENING = 18 * 3600
"""The hour with the most payments begins then."""
SHOP = Merchant("corner", 1.0, True, 0.03, "EUR")
"""A shop as in the fault: three payments in a hundred seconds, with the limits that are the default."""
SHOP_RATE = 0.03
UNSEEN = {"slow drip", "ordinary amounts"}
"""Patterns that docs/pci-dss.md says cannot be seen without the buyers' addresses."""


@cache
def day_of(shop: Merchant) -> list[tuple[float, Payment]]:
    """The honest payments of a small shop."""
    return list(honest(random.Random(4), [shop], SHOP_RATE))


def with_tester(shop: Merchant, pattern: Pattern, seed: int = 5) -> Outcome:
    """A day of the shop with a tester."""
    tries = tries_of(random.Random(seed), pattern, shop)
    return run(merge(day_of(shop), tries, key=lambda event: event[0]), MerchantTable())


@pytest.mark.fault(72)
def test_a_busy_evening_at_20_payments_a_second_holds_no_buyer() -> None:
    rng = random.Random(1)
    shops = merchants(rng)
    evening = takewhile(lambda event: event[0] < EVENING + 600, honest(rng, shops, RATE, begins_at=EVENING))
    outcome = run(evening, table_of(shops, RATE))
    assert outcome.honest > 8_000
    assert outcome.held == []


@pytest.mark.fault(72)
@pytest.mark.parametrize("seed", [1, 2])
def test_a_whole_day_of_one_shop_holds_no_buyer(seed: int) -> None:
    for gives_address in (True, False):
        shop = SHOP._replace(gives_address=gives_address, currency="HUF")
        outcome = run(honest(random.Random(seed), [shop], SHOP_RATE), MerchantTable())
        assert outcome.honest > 1_000
        assert outcome.held == []


@pytest.mark.fault(72)
@pytest.mark.parametrize("pattern", PATTERNS, ids=lambda pattern: pattern.name)
@pytest.mark.parametrize("currency", ["EUR", "HUF", "JPY"])
def test_tester_is_held_within_25_cards(pattern: Pattern, currency: str) -> None:
    outcome = with_tester(SHOP._replace(currency=currency), pattern)
    (passed,) = outcome.passed.values()
    assert len(passed) <= HELD_WITHIN
    assert outcome.stopped.total() >= CARDS - HELD_WITHIN


@pytest.mark.fault(72)
@pytest.mark.parametrize(
    "pattern", [one for one in PATTERNS if one.name not in UNSEEN], ids=lambda pattern: pattern.name
)
@pytest.mark.parametrize("currency", ["EUR", "HUF", "JPY"])
def test_tester_is_held_without_addresses_too(pattern: Pattern, currency: str) -> None:
    outcome = with_tester(SHOP._replace(gives_address=False, currency=currency), pattern)
    (passed,) = outcome.passed.values()
    assert len(passed) <= HELD_WITHIN
    assert outcome.stopped.total() >= CARDS - HELD_WITHIN


@pytest.mark.fault(72)
def test_what_is_not_seen_without_addresses_is_what_the_docs_say() -> None:
    blind = SHOP._replace(gives_address=False)
    passed = {pattern.name: with_tester(blind, pattern).passed for pattern in PATTERNS}
    assert {name for name, by in passed.items() if len(*by.values()) > HELD_WITHIN} <= UNSEEN
    assert len(*passed["slow drip"].values()) == CARDS


@pytest.mark.fault(72)
@pytest.mark.parametrize("pattern", [one for one in PATTERNS if one.addresses == 1], ids=lambda pattern: pattern.name)
def test_tester_at_one_address_holds_no_other_buyer(pattern: Pattern) -> None:
    assert with_tester(SHOP, pattern).held == []
