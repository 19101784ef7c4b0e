"""Money: amounts in minor units, and the table of currencies."""

from decimal import Decimal

import iso4217
import pytest
from hypothesis import given
from hypothesis import strategies as st

from payments.domain.currencies import EXPONENTS
from payments.domain.money import InvalidMoney, Money, max_minor_units


def test_exponents_always_equal_iso_4217() -> None:
    standard = {currency.code: currency.exponent for currency in iso4217.Currency if currency.exponent is not None}
    assert standard == EXPONENTS


@pytest.mark.parametrize(
    ("amount", "currency", "minor_units"),
    [
        ("99.99", "USD", 9999),
        (Decimal("99.9"), "USD", 9990),
        (100, "USD", 10000),
        ("10", "JPY", 10),
        ("1.234", "KWD", 1234),
        ("1.2", "KWD", 1200),
    ],
)
def test_parse_when_the_currency_has_the_digits_then_exact(
    amount: str | int | Decimal, currency: str, minor_units: int
) -> None:
    assert Money.parse(amount, currency) == Money(minor_units, currency)


@pytest.mark.fault(32)
@pytest.mark.parametrize(
    ("amount", "currency", "field", "says"),
    [
        ("10.50", "JPY", "amount", "no decimal digits"),
        ("1.2345", "KWD", "amount", "at most 3 decimal digits"),
        ("-1", "USD", "amount", "plain decimal"),
        ("+1", "USD", "amount", "plain decimal"),
        ("0", "USD", "amount", "out of range"),
        ("0.00", "USD", "amount", "out of range"),
        ("NaN", "USD", "amount", "plain decimal"),
        (Decimal("NaN"), "USD", "amount", "plain decimal"),
        (Decimal("1E+3"), "USD", "amount", "plain decimal"),
        ("1e3", "USD", "amount", "plain decimal"),
        (" 1,000.00 ", "USD", "amount", "plain decimal"),
        ("1,000.00", "USD", "amount", "plain decimal"),
        ("1_000", "USD", "amount", "plain decimal"),
        ("١٢", "USD", "amount", "plain decimal"),
        ("9" * 19, "USD", "amount", "plain decimal"),
        ("9" * 18, "USD", "amount", "out of range"),
        ("", "USD", "amount", "plain decimal"),
        (True, "USD", "amount", "not an amount"),
        (1.5, "USD", "amount", "float is not an amount"),
        ("1", "USX", "currency", "ISO 4217"),
        ("1", "usd", "currency", "ISO 4217"),
        ("1", "XAU", "currency", "ISO 4217"),
    ],
)
def test_parse_when_the_amount_is_not_plain_then_refused_with_the_reason(
    amount: object, currency: str, field: str, says: str
) -> None:
    with pytest.raises(InvalidMoney, match=says) as refused:
        Money.parse(amount, currency)  # type: ignore[arg-type]  # also what no type checker would let through
    assert refused.value.field == field


@pytest.mark.fault(59)
@pytest.mark.parametrize(
    ("largest", "above", "currency"),
    [
        ("999999.99", "1000000.00", "USD"),
        ("9999999999.99", "10000000000.00", "IDR"),
        ("999999999.99", "1000000000.00", "LBP"),
        ("99999999.99", "100000000.00", "COP"),
        ("99999999.99", "100000000.00", "HUF"),
        ("99999999.99", "100000000.00", "MGA"),
        ("9999999.99", "10000000.00", "INR"),
        ("9999999999", "10000000000", "JPY"),
        ("99999999", "100000000", "KRW"),
        ("99999.999", "100000.000", "KWD"),
    ],
)
def test_parse_takes_the_largest_amount_and_refuses_more_with_the_limit(
    largest: str, above: str, currency: str
) -> None:
    assert str(Money.parse(largest, currency)) == f"{largest} {currency}"
    with pytest.raises(InvalidMoney, match=rf"is out of range; {currency} takes .* to {largest} {currency}$"):
        Money.parse(above, currency)


@given(st.sampled_from(sorted(EXPONENTS)), st.data())
def test_parse_when_given_what_str_wrote_then_the_same_money(currency: str, data: st.DataObject) -> None:
    money = Money(data.draw(st.integers(1, max_minor_units(currency))), currency)
    assert Money.parse(str(money).split(" ", maxsplit=1)[0], currency) == money


@given(st.text(max_size=30))
def test_parse_when_given_any_text_then_money_or_a_reason(text: str) -> None:
    try:
        money = Money.parse(text, "USD")
    except InvalidMoney as refused:
        assert len(str(refused)) < 200  # noqa: PT017 - any text may be refused; what counts is a short reason
    else:
        assert money.decimal == Decimal(text)
