"""Stripe's amounts against ISO 4217: nothing is rounded, and the conversion is reversible."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from payments.adapters.stripe.amounts import CURRENCIES, largest, limit, money_of, refusal, smallest, stripe_amount
from payments.domain.currencies import EXPONENTS
from payments.domain.money import InvalidMoney, Money, max_minor_units

ANY_MONEY = st.sampled_from(sorted(EXPONENTS)).flatmap(
    lambda currency: st.builds(Money, st.integers(1, max_minor_units(currency)), st.just(currency))
)


@pytest.mark.parametrize(
    ("decimal", "currency", "amount"),
    [
        ("99.99", "USD", 9999),
        ("500", "JPY", 500),
        ("5", "ISK", 500),
        ("7", "UGX", 700),
        ("1200.00", "MGA", 1200),
        ("10.45", "HUF", 1045),
        ("800.45", "TWD", 80045),
        ("5.120", "KWD", 5120),
        ("1.010", "TND", 1010),
    ],
)
def test_stripe_amount_when_currency_is_special_then_follows_stripes_table(
    decimal: str, currency: str, amount: int
) -> None:
    money = Money.parse(decimal, currency)
    assert stripe_amount(money) == amount
    assert money_of(amount, currency.lower()) == money


@pytest.mark.parametrize(
    ("money", "says"),
    [
        (Money(5124, "KWD"), "last digit of 0"),
        (Money(1, "BHD"), "last digit of 0"),
        (Money(120050, "MGA"), "whole units"),
        (Money(1000, "IQD"), "does not charge cards in IQD"),
        (Money(10000, "CLF"), "does not charge cards in CLF"),
        (Money(1000, "STN"), "does not charge cards in STN"),
        (Money(99_999_999, "KWD"), "last digit of 0"),
        (Money(0, "USD"), "out of range"),
        (Money(-100, "USD"), "out of range"),
    ],
)
def test_refusal_when_stripe_cannot_charge_then_says_why(money: Money, says: str) -> None:
    assert says in (refusal(money) or "")


@pytest.mark.fault(59)
@pytest.mark.parametrize(
    ("most", "more"),
    [
        (Money(999_999_99, "USD"), Money(1_000_000_00, "USD")),
        (Money(9_999_999_999_99, "IDR"), Money(10_000_000_000_00, "IDR")),
        (Money(999_999_999_99, "LBP"), Money(1_000_000_000_00, "LBP")),
        (Money(99_999_999_99, "COP"), Money(100_000_000_00, "COP")),
        (Money(99_999_999_99, "HUF"), Money(100_000_000_00, "HUF")),
        (Money(9_999_999_99, "INR"), Money(10_000_000_00, "INR")),
        (Money(9_999_999_999, "JPY"), Money(10_000_000_000, "JPY")),
        (Money(99_999_990, "KWD"), Money(100_000_000, "KWD")),
        (Money(999_999, "ISK"), Money(1_000_000, "ISK")),  # Stripe's eight digits end in two zeros
        (Money(999_999, "UGX"), Money(1_000_000, "UGX")),
        (Money(99_999_999_00, "MGA"), Money(100_000_000_00, "MGA")),  # Stripe counts no digits after the point
    ],
    ids=str,
)
def test_refusal_of_an_amount_above_the_maximum_names_the_limit(most: Money, more: Money) -> None:
    assert refusal(most) is None
    assert largest(most.currency) == most
    assert refusal(more) == f"Stripe accepts at most {most}; {more} is out of range"


@pytest.mark.fault(59)
@pytest.mark.parametrize(
    ("least", "less"),
    [
        (Money(50, "USD"), Money(49, "USD")),
        (Money(30, "GBP"), Money(29, "GBP")),
        (Money(175_00, "HUF"), Money(174_99, "HUF")),
        (Money(50, "JPY"), Money(49, "JPY")),
        (Money(50, "COP"), Money(49, "COP")),
    ],
    ids=str,
)
def test_refusal_below_the_minimum_of_a_settlement_currency_names_it(least: Money, less: Money) -> None:
    currency = least.currency
    assert smallest(currency) == least
    assert refusal(least, {currency}) is None
    assert refusal(less, {currency, "CHF"}) == (
        f"Stripe accepts at least {least} on an account that settles in {currency}; {less} is less"
    )


@pytest.mark.fault(59)
@pytest.mark.parametrize("settlement_currencies", [set(), {"EUR"}], ids=["none", "another"])
def test_refusal_leaves_a_minimum_after_conversion_to_stripe(settlement_currencies: set[str]) -> None:
    assert refusal(Money(1, "USD"), settlement_currencies) is None


def test_refusal_without_a_documented_minimum_takes_the_smallest_unit() -> None:
    assert smallest("KES") is None
    assert refusal(Money(1, "KES"), {"KES"}) is None


@pytest.mark.fault(59)
@pytest.mark.parametrize(
    ("code", "currency", "says"),
    [
        ("amount_too_large", "IDR", "at most 9999999999.99 IDR"),
        ("amount_too_large", "USD", "at most 999999.99 USD"),
        ("amount_too_small", "EUR", "at least 0.50 EUR if the account settles in EUR"),
        ("amount_too_small", "KES", "at least 0.50 USD if the account settles in USD"),
    ],
)
def test_limit_of_stripes_code_names_the_documented_amount(code: str, currency: str, says: str) -> None:
    assert says in limit(code, currency)


@pytest.mark.parametrize("currency", sorted(CURRENCIES))
def test_largest_amount_of_stripe_is_one_that_we_accept(currency: str) -> None:
    assert Money.parse(largest(currency).decimal, currency) == largest(currency)


@given(ANY_MONEY)
def test_stripe_amount_converts_back_to_the_same_money(money: Money) -> None:
    if refusal(money):
        with pytest.raises(InvalidMoney):
            stripe_amount(money)
    else:
        assert 0 < stripe_amount(money) <= stripe_amount(largest(money.currency))
        assert money_of(stripe_amount(money), money.currency) == money


@given(st.integers(1, 999_999_999_999), st.sampled_from(sorted(CURRENCIES)))
def test_money_of_a_stripe_amount_keeps_its_value_or_refuses(amount: int, currency: str) -> None:
    digits_at_stripe = {"ISK": 2, "UGX": 2, "MGA": 0}.get(currency, EXPONENTS[currency])
    try:
        money = money_of(amount, currency.lower())
    except InvalidMoney:
        assert currency in ("ISK", "UGX")
        assert amount % 100
    else:
        assert money.minor_units * 10**digits_at_stripe == amount * 10 ** EXPONENTS[currency]


def test_money_of_when_currency_is_not_stripes_then_is_refused() -> None:
    with pytest.raises(InvalidMoney, match="XAU"):
        money_of(100, "xau")


def test_currencies_are_in_iso_4217_and_five_have_three_decimals() -> None:
    assert set(EXPONENTS) >= CURRENCIES
    assert {currency for currency in CURRENCIES if EXPONENTS[currency] == 3} == {"BHD", "JOD", "KWD", "OMR", "TND"}
    assert not {currency for currency in CURRENCIES if EXPONENTS[currency] > 3}
