"""Money as integer minor units with an ISO 4217 currency. Amounts are never rounded and never floats."""

import re
from dataclasses import dataclass
from decimal import Decimal

from payments.domain.currencies import EXPONENTS
from payments.domain.quick_init import maker

MAX_MINOR_UNITS = 99_999_999
"""The largest amount that we accept in minor units: eight digits, unless `HIGHER_MAXIMUM` has the currency."""

HIGHER_MAXIMUM: dict[str, int] = {
    currency: 10**digits - 1
    for currency, digits in {"COP": 10, "HUF": 10, "IDR": 12, "INR": 9, "JPY": 10, "LBP": 11, "MGA": 10}.items()
}
"""Currency code → the largest amount in minor units, where the gateway takes more than eight digits. The sources are in
the gateway's own table, and a test compares both. A payment above the gateway's limit is rejected by Validate."""

_PLAIN_DECIMAL = re.compile(r"([0-9]{1,18})(?:\.([0-9]{1,18}))?", re.ASCII)


class InvalidMoney(ValueError):
    """An amount or currency that is not allowed. `field` names which; the text says what is allowed."""

    def __init__(self, field: str, message: str) -> None:
        self.field = field
        super().__init__(message)


@dataclass(frozen=True, slots=True)
class Money:
    """`minor_units` of `currency`: Money(9999, "USD") is 99.99 US dollars, Money(10, "JPY") ten yen."""

    minor_units: int
    currency: str

    @classmethod
    def parse(cls, amount: str | int | Decimal, currency: str) -> "Money":
        """Read a decimal amount in major units from JSON or a CSV cell.

        Raises InvalidMoney for everything except a plain positive decimal with no more digits than the currency has:
        no sign, exponent, separator, blank, NaN or float.
        """
        if not isinstance(currency, str) or currency not in EXPONENTS:
            raise InvalidMoney(
                "currency",
                f"{shown(currency)} is not an ISO 4217 currency code; use three capital letters such as USD",
            )
        if not isinstance(amount, str) and (not isinstance(amount, int | Decimal) or isinstance(amount, bool)):
            raise InvalidMoney(
                "amount", f"{type(amount).__name__} is not an amount; give a decimal number such as 99.99"
            )
        text = str(amount)
        match = _PLAIN_DECIMAL.fullmatch(text)
        if not match:
            raise InvalidMoney(
                "amount",
                f"{shown(text)} is not a plain decimal number; use digits and one point such as 99.99, "
                "without sign, exponent, blank or thousands separator",
            )
        whole, part = match.groups("")
        if money := cls.of_digits(whole, part, currency):
            return money
        exponent = EXPONENTS[currency]
        if len(part) > exponent:
            allowed = f"at most {exponent} decimal digits" if exponent else "no decimal digits"
            raise InvalidMoney(
                "amount",
                f"{shown(text)} has more digits than {currency} has: {currency} takes {allowed}",
            )
        limit = max_minor_units(currency)
        raise InvalidMoney(
            "amount", f"{shown(text)} is out of range; {currency} takes {cls(1, currency)} to {cls(limit, currency)}"
        )

    @classmethod
    def of_digits(cls, whole: str, part: str, currency: str) -> "Money | None":
        """The amount with these ASCII digits before and behind its point; None if the currency does not take it."""
        exponent = EXPONENTS.get(currency, -1)
        if len(part) > exponent:
            return None
        minor_units = int(whole + part.ljust(exponent, "0"))
        if 1 <= minor_units <= max_minor_units(currency):
            return _money(minor_units, currency)
        return None

    @property
    def decimal(self) -> Decimal:
        """The amount in major units, with all digits of its currency: Decimal("99.90")."""
        return Decimal(self.minor_units).scaleb(-EXPONENTS[self.currency])

    def __str__(self) -> str:
        return f"{self.decimal} {self.currency}"


_money = maker(Money)


def max_minor_units(currency: str) -> int:
    """The largest amount that we accept in a currency, in its minor units."""
    return HIGHER_MAXIMUM.get(currency, MAX_MINOR_UNITS)


def shown(value: object) -> str:
    """A rejected value for an error text: quoted, shortened, with the digits of long numbers masked."""
    text = str(value)
    if len(text) > 12 and sum(c.isdigit() for c in text) > 12:
        text = re.sub(r"\d(?=(?:[ -]?\d){4})", "*", text)
    if not text.isprintable():
        text = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
    return f"'{text[:24]}…'" if len(text) > 24 else f"'{text}'"
