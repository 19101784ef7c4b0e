"""Stripe's amounts: integers that differ from ISO 4217 minor units for some currencies. Imports no SDK.

Source: docs.stripe.com/currencies, "Supported currencies", "Zero-decimal currencies" and "Special cases".
"""

from payments.domain.currencies import EXPONENTS
from payments.domain.money import InvalidMoney, Money

MAX_AMOUNT = 99_999_999
"""Stripe accepts at most eight digits, counted in its own units."""

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

_EXPONENT_AT_STRIPE = {
    "ISK": 2,  # became zero-decimal in 2023; Stripe keeps two digits, both 0, for compatibility
    "UGX": 2,  # zero-decimal, sent with two digits, both 0
    "MGA": 0,  # two digits in ISO 4217 (an ariary has five iraimbilanja), none at Stripe
}

_STEP = {
    "ISK": 100,
    "UGX": 100,
} | {currency: 10 for currency in CURRENCIES if EXPONENTS[currency] == 3}  # the last of three digits must be 0
"""Stripe's amount must be a multiple of this number. Currencies that are not listed have 1."""


def refusal(money: Money) -> str | None:
    """Why Stripe can never charge `money`, as a sentence that says what is allowed; None if it can.

    The minimum amount is not checked: it depends on the account's settlement currency and the day's exchange rate.
    """
    currency = money.currency
    if currency not in CURRENCIES:
        return f"Stripe does not charge cards in {currency}; use another currency"
    amount, rest = _converted(money)
    if rest:
        return f"Stripe accepts {currency} only in whole units; {money} has a fraction"
    if amount % _STEP.get(currency, 1):
        return f"Stripe accepts {currency} only with a last digit of 0; {money} has another one"
    if not 0 < amount <= MAX_AMOUNT:
        return f"Stripe accepts at most {money_of(_highest(currency), currency)}; {money} is out of range"
    return None


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
    shift = EXPONENTS[code] - _EXPONENT_AT_STRIPE.get(code, EXPONENTS[code])
    if shift >= 0:
        return Money(amount * 10**shift, code)
    minor_units, remainder = divmod(amount, 10**-shift)
    if remainder:
        raise InvalidMoney("amount", f"{amount} at Stripe is not a whole amount of {code}")
    return Money(minor_units, code)


def _converted(money: Money) -> tuple[int, int]:
    """Stripe's amount, and the remainder that it cannot express, so that fractions are detected and never rounded."""
    exponent = EXPONENTS[money.currency]
    shift = _EXPONENT_AT_STRIPE.get(money.currency, exponent) - exponent
    return (money.minor_units * 10**shift, 0) if shift >= 0 else divmod(money.minor_units, 10**-shift)


def _highest(currency: str) -> int:
    return MAX_AMOUNT - MAX_AMOUNT % _STEP.get(currency, 1)
