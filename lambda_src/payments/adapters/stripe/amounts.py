"""Stripe's amounts: integers that differ from ISO 4217 minor units for some currencies, and their limits. No SDK.

Source: docs.stripe.com/currencies, as of July 2026, by the section names below. Older copies are named with their year.
"""

from collections.abc import Container
from dataclasses import dataclass

from payments.domain.currencies import EXPONENTS
from payments.domain.money import InvalidMoney, Money

_CODES = (
    "AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BHD BIF BMD BND BOB BRL BSD BWP BYN BZD CAD CDF CHF CLP "
    "CNY COP CRC CVE CZK DJF DKK DOP DZD EGP ETB EUR FJD FKP GBP GEL GIP GMD GNF GTQ GYD HKD HNL HTG HUF IDR "
    "ILS INR ISK JMD JOD JPY KES KGS KHR KMF KRW KWD KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP "
    "MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD OMR PAB PEN PGK PHP PKR PLN PYG QAR RON RSD RUB RWF SAR "
    "SBD SCR SEK SGD SHP SLE SOS SRD SZL THB TJS TND TOP TRY TTD TWD TZS UAH UGX USD UYU UZS VND VUV WST XAF "
    "XCD XCG XOF XPF YER ZAR ZMW"
)
CURRENCIES = frozenset(_CODES.split())
"""The ISO 4217 currencies that Stripe charges cards in."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """What Stripe accepts in one currency. Amounts are Stripe's integers."""

    exponent: int | None = None
    """Digits of the integer after the decimal point. None: as in ISO 4217 ("Zero-decimal currencies")."""
    step: int = 1
    """The integer is a multiple of this number."""
    digits: int = 8
    """Digits of the largest integer. Eight: the API reference of 2026-10-28.endive, `amount` of a payment intent. More:
    "Minimum and maximum charge amounts" of 2025, where it names the currency. "Maximum charge amounts" of 2026 allows
    twelve for most cards, and nine for American Express; see docs/decisions.md."""
    minimum: int = 0
    """The smallest integer if the account settles in this currency ("Minimum charge amount by currency"). 0: Stripe
    documents none. A charge in another currency must reach the minimum of the settlement currency after conversion."""


_SPECIAL: dict[str, Rule] = {
    "AED": Rule(minimum=200),
    "ARS": Rule(minimum=50),
    "AUD": Rule(minimum=50),
    "BHD": Rule(step=10),  # "Three-decimal currencies" of 2024: the last digit must be 0
    "BRL": Rule(minimum=50),
    "CAD": Rule(minimum=50),
    "CHF": Rule(minimum=50),
    "COP": Rule(minimum=50, digits=10),
    "CZK": Rule(minimum=1500),
    "DKK": Rule(minimum=250),
    "EUR": Rule(minimum=50),
    "GBP": Rule(minimum=30),
    "HKD": Rule(minimum=400),
    "HUF": Rule(minimum=17500, digits=10),  # charged with two decimals, paid out without ("Special cases")
    "IDR": Rule(minimum=50, digits=12),
    "ILS": Rule(minimum=50),
    "INR": Rule(minimum=50, digits=9),
    "ISK": Rule(exponent=2, step=100),  # "Special cases": zero-decimal, sent with two decimals that are 0
    "JOD": Rule(step=10),  # as BHD
    "JPY": Rule(minimum=50, digits=10),
    "KRW": Rule(minimum=50),
    "KWD": Rule(step=10),  # as BHD
    "LBP": Rule(digits=11),
    "MGA": Rule(exponent=0),  # "Zero-decimal currencies"; two digits in ISO 4217 (an ariary has five iraimbilanja)
    "MXN": Rule(minimum=1000),
    "MYR": Rule(minimum=200),
    "NOK": Rule(minimum=300),
    "NZD": Rule(minimum=50),
    "OMR": Rule(step=10),  # as BHD
    "PHP": Rule(minimum=50),
    "PLN": Rule(minimum=200),
    "RON": Rule(minimum=200),
    "RUB": Rule(minimum=50),
    "SEK": Rule(minimum=300),
    "SGD": Rule(minimum=50),
    "THB": Rule(minimum=1000),
    "TND": Rule(step=10),  # as BHD
    "UGX": Rule(exponent=2, step=100),  # as ISK
    "USD": Rule(minimum=50),
    "ZAR": Rule(minimum=50),
}
_ORDINARY = Rule()

LIMIT_CODES = frozenset({"amount_too_large", "amount_too_small"})
"""Stripe's error codes for an amount outside its limits (docs.stripe.com/error-codes). They are about one payment."""


def refusal(money: Money, settlement_currencies: Container[str] = ()) -> str | None:
    """Why Stripe can never charge `money`, as a sentence that says what is allowed; None if it can.

    The minimum is certain only in a currency that the account settles in. In every other currency it depends on the
    day's exchange rate, and Stripe decides: see `limit`.
    """
    currency = money.currency
    if currency not in CURRENCIES:
        return f"Stripe does not charge cards in {currency}; use another currency"
    rule = _rule(currency)
    amount, rest = _converted(money)
    if rest:
        return f"Stripe accepts {currency} only in whole units; {money} has a fraction"
    if amount % rule.step:
        return f"Stripe accepts {currency} only with a last digit of 0; {money} has another one"
    if not 0 < amount < 10**rule.digits:
        return f"Stripe accepts at most {largest(currency)}; {money} is out of range"
    if amount < rule.minimum and currency in settlement_currencies:
        return f"Stripe accepts at least {smallest(currency)} on an account that settles in {currency}; {money} is less"
    return None


def limit(code: str, currency: str) -> str:
    """The documented limit of one of `CURRENCIES` that one of `LIMIT_CODES` is about, as a sentence."""
    if code == "amount_too_large":
        return f"Stripe accepts at most {largest(currency)}, and less on some cards such as American Express"
    settled = currency if smallest(currency) else "USD"
    return (
        f"Stripe accepts at least {smallest(settled)} if the account settles in {settled}; otherwise the minimum is "
        "that of its settlement currency, after conversion"
    )


def largest(currency: str) -> Money:
    """The largest amount that Stripe accepts in one of `CURRENCIES`."""
    rule = _rule(currency)
    return money_of(10**rule.digits - rule.step, currency)


def smallest(currency: str) -> Money | None:
    """The documented minimum of one of `CURRENCIES`, on an account that settles in it. None if there is none."""
    minimum = _rule(currency).minimum
    return money_of(minimum, currency) if minimum else None


def stripe_amount(money: Money) -> int:
    """`money` as the integer that Stripe expects: 99.99 USD → 9999, 10 ISK → 1000, 1200.00 MGA → 1200.

    Raises InvalidMoney for amounts that Stripe can never charge.
    """
    reason = refusal(money)
    if reason:
        raise InvalidMoney("currency" if money.currency not in CURRENCIES else "amount", reason)
    return _converted(money)[0]


def money_of(amount: int, currency: str) -> Money:
    """The inverse of `stripe_amount`, for amounts that Stripe reports. Stripe writes currencies in lower case.

    Raises InvalidMoney for a currency that Stripe does not charge in, or an amount that ISO 4217 cannot express.
    """
    code = currency.upper()
    if code not in CURRENCIES:
        raise InvalidMoney("currency", f"Stripe does not charge cards in {code}")
    shift = -_shift(code)
    if shift >= 0:
        return Money(amount * 10**shift, code)
    minor_units, remainder = divmod(amount, 10**-shift)
    if remainder:
        raise InvalidMoney("amount", f"{amount} at Stripe is not a whole amount of {code}")
    return Money(minor_units, code)


def _converted(money: Money) -> tuple[int, int]:
    """Stripe's amount, and the remainder that it cannot express, so that fractions are detected and never rounded."""
    shift = _shift(money.currency)
    return (money.minor_units * 10**shift, 0) if shift >= 0 else divmod(money.minor_units, 10**-shift)


def _shift(currency: str) -> int:
    """How many digits Stripe's integer has after those of ISO 4217's minor units."""
    exponent = _rule(currency).exponent
    return 0 if exponent is None else exponent - EXPONENTS[currency]


def _rule(currency: str) -> Rule:
    return _SPECIAL.get(currency, _ORDINARY)
