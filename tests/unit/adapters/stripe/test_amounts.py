"""Stripe's amounts against ISO 4217: nothing is rounded, and the conversion is reversible."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from payments.adapters.stripe.amounts import CURRENCIES, MAX_AMOUNT, money_of, refusal, stripe_amount
from payments.domain.currencies import EXPONENTS
from payments.domain.money import MAX_MINOR_UNITS, InvalidMoney, Money

ANY_MONEY = st.builds(Money, st.integers(1, MAX_MINOR_UNITS), st.sampled_from(sorted(EXPONENTS)))


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
        (Money(999_999, "ISK"), None),
        (Money(1_000_000, "ISK"), "at most 999999 ISK"),
        (Money(MAX_MINOR_UNITS, "USD"), None),
        (Money(MAX_MINOR_UNITS, "KWD"), "last digit of 0"),
        (Money(99_999_990, "KWD"), None),
        (Money(MAX_MINOR_UNITS + 1, "USD"), "at most 999999.99 USD"),
        (Money(0, "USD"), "out of range"),
        (Money(-100, "USD"), "out of range"),
    ],
)
def test_refusal_when_stripe_cannot_charge_then_says_why(money: Money, says: str | None) -> None:
    reason = refusal(money)
    assert (reason is None) if says is None else (reason is not None and says in reason)


@given(ANY_MONEY)
def test_stripe_amount_converts_back_to_the_same_money(money: Money) -> None:
    if refusal(money):
        with pytest.raises(InvalidMoney):
            stripe_amount(money)
    else:
        assert 0 < stripe_amount(money) <= MAX_AMOUNT
        assert money_of(stripe_amount(money), money.currency) == money


@given(st.integers(1, MAX_AMOUNT), st.sampled_from(sorted(CURRENCIES)))
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
