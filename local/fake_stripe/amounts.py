"""The amounts and currencies that Stripe accepts (docs.stripe.com/currencies).

This table is independent of the adapter's table: a test that compares them finds an error in either.
"""

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
    "usd": 50, "aed": 200, "aud": 50, "brl": 50, "cad": 50, "chf": 50, "czk": 1500, "dkk": 250, "eur": 50,
    "gbp": 30, "hkd": 400, "huf": 17500, "inr": 50, "jpy": 50, "mxn": 1000, "myr": 200, "nok": 300, "nzd": 50,
    "pln": 200, "ron": 200, "sek": 300, "sgd": 50, "thb": 1000,
}  # fmt: skip
_MAXIMUM = 99_999_999


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


def check(amount: int, currency: str) -> None:
    """Raise ApiError for an amount that Stripe rejects in this currency. `currency` is in lower case."""
    if currency not in CURRENCIES:
        raise invalid(f"Invalid currency: {currency[:10]}.", param="currency")
    step = 10 if digits(currency) == 3 else 100 if currency in ("isk", "ugx") else 1
    if amount % step:
        raise invalid(
            f"Amounts in {currency} must be a multiple of {step}.", param="amount", code="invalid_charge_amount"
        )
    if amount < _MINIMUM.get(currency, 1):
        raise invalid(
            f"Amount must be at least {_MINIMUM[currency]} {currency} in its smallest unit",
            param="amount",
            code="amount_too_small",
        )
    if amount > _MAXIMUM:
        raise invalid(
            f"Amount must be no more than {_MAXIMUM} {currency} in its smallest unit",
            param="amount",
            code="amount_too_large",
        )
