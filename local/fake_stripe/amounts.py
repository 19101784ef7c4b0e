"""The amounts and currencies that Stripe accepts (docs.stripe.com/currencies).

This table is independent of the adapter's table: a test that compares them finds an error in either.
"""

from decimal import Decimal

from local.fake_stripe.errors import invalid

_TWO_DIGITS = (
    "usd aed afn all amd aoa ars aud awg azn bam bbd bdt bmd bnd bob brl bsd bwp byn bzd cad cdf chf cny cop crc "
    "cve czk dkk dop dzd egp etb eur fjd fkp gbp gel gip gmd gtq gyd hkd hnl htg huf idr ils inr isk jmd kes kgs "
    "khr kyd kzt lak lbp lkr lrd lsl mad mdl mkd mmk mnt mop mur mvr mwk mxn myr mzn nad ngn nio nok npr nzd pab "
    "pen pgk php pkr pln qar ron rsd rub sar sbd scr sek sgd shp sle sos srd szl thb tjs top try ttd twd tzs uah "
    "ugx uyu uzs wst xcd xcg yer zar zmw"
)
_NO_DIGITS = "bif clp djf gnf jpy kmf krw mga pyg rwf vnd vuv xaf xof xpf"
_THREE_DIGITS = "bhd jod kwd omr tnd"
CURRENCIES = frozenset(f"{_TWO_DIGITS} {_NO_DIGITS} {_THREE_DIGITS}".split())

_MINIMUM = {
    "usd": 50, "aed": 200, "ars": 50, "aud": 50, "brl": 50, "cad": 50, "chf": 50, "cop": 50, "czk": 1500, "dkk": 250,
    "eur": 50, "gbp": 30, "hkd": 400, "huf": 17500, "idr": 50, "ils": 50, "inr": 50, "jpy": 50, "krw": 50, "mxn": 1000,
    "myr": 200, "nok": 300, "nzd": 50, "php": 50, "pln": 200, "ron": 200, "rub": 50, "sek": 300, "sgd": 50, "thb": 1000,
    "zar": 50,
}  # fmt: skip
"""The minimum by settlement currency. The fake account settles in every currency, so that no charge is converted."""
_DIGITS_OF_AMOUNTS = {"idr": 12, "lbp": 11, "cop": 10, "huf": 10, "jpy": 10, "inr": 9}
"""Currencies whose amounts may have more than eight digits."""
_DIGITS_ON_AMEX = 9


def digits(currency: str) -> int:
    """The number of digits after the decimal point."""
    return 3 if currency in _THREE_DIGITS.split() else 0 if currency in _NO_DIGITS.split() else 2


def amount_of(text: str) -> int:
    """Convert an amount parameter to an integer. Raises ApiError."""
    if not text.isascii() or not text.removeprefix("-").isdigit():
        raise invalid(f"Invalid integer: {text[:20]}", param="amount", code="parameter_invalid_integer")
    if int(text) < 1:
        raise invalid(
            "This value must be greater than or equal to 1.", param="amount", code="parameter_invalid_integer"
        )
    return int(text)


def step(currency: str) -> int:
    """Amounts are multiples of this number."""
    return 10 if digits(currency) == 3 else 100 if currency in ("isk", "ugx") else 1


def limits(currency: str, brand: str = "") -> tuple[int, int]:
    """The smallest and the largest amount, on cards of a brand if it is known."""
    digits_of_amount = _DIGITS_OF_AMOUNTS.get(currency, 8)
    if brand == "amex":
        digits_of_amount = min(digits_of_amount, _DIGITS_ON_AMEX)
    return _MINIMUM.get(currency, 1), 10**digits_of_amount - 1


def check(amount: int, currency: str, brand: str = "") -> None:
    """Raise ApiError for an amount that Stripe rejects in this currency, on a card of this brand if one is given.

    `currency` is in lower case.
    """
    if currency not in CURRENCIES:
        raise invalid(f"Invalid currency: {currency[:10]}.", param="currency")
    if amount % step(currency):
        raise invalid(
            f"Amounts in {currency} must be a multiple of {step(currency)}.",
            param="amount",
            code="invalid_charge_amount",
        )
    least, most = limits(currency, brand)
    if amount < least:
        raise invalid(f"Amount must be at least {shown(least, currency)}", param="amount", code="amount_too_small")
    if amount > most:
        raise invalid(f"Amount must be no more than {shown(most, currency)}", param="amount", code="amount_too_large")


def shown(amount: int, currency: str) -> str:
    """An amount in the format of Stripe's messages: "$10.00", "10.00 chf"."""
    number = f"{Decimal(amount).scaleb(-digits(currency)):f}"
    return f"${number}" if currency == "usd" else f"{number} {currency}"
