"""Small amounts: each currency has its own, of about the same value."""

from decimal import Decimal

import pytest

from payments.domain.currencies import EXPONENTS
from payments.domain.money import Money
from payments.domain.small_amounts import SMALL_MINOR_UNITS, is_small


@pytest.mark.fault(72)
def test_every_currency_has_a_small_amount() -> None:
    assert set(SMALL_MINOR_UNITS) == set(EXPONENTS)
    assert min(SMALL_MINOR_UNITS.values()) > 0


@pytest.mark.fault(72)
@pytest.mark.parametrize(
    ("small", "currency"),
    [
        ("2.00", "USD"),
        ("1.90", "EUR"),
        ("780", "HUF"),
        ("302", "JPY"),
        ("0.620", "KWD"),
        ("8.00", "PLN"),
    ],
)
def test_small_includes_the_limit_and_excludes_one_unit_more(small: str, currency: str) -> None:
    edge = Money.parse(Decimal(small), currency)
    assert is_small(Money(SMALL_MINOR_UNITS[currency], currency))
    assert not is_small(Money(SMALL_MINOR_UNITS[currency] + 1, currency))
    assert abs(edge.minor_units - SMALL_MINOR_UNITS[currency]) <= SMALL_MINOR_UNITS[currency] // 10


@pytest.mark.fault(72)
def test_a_cheap_try_is_small_in_every_currency_alike() -> None:
    assert is_small(Money.parse(Decimal(175), "HUF"))
    assert not is_small(Money.parse(Decimal("4.90"), "EUR"))
    assert is_small(Money.parse(Decimal(20_000), "LBP"))
