"""Which refunds a second person must approve, and how long an approval may take."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from payments.domain.money import InvalidMoney, Money
from payments.domain.payment import Payment
from payments.domain.refundable import books_of

APPROVAL_WAIT = timedelta(days=3)
"""After so long, a refund that no admin approved or rejected is on the operators' list."""
_ZERO = re.compile(r"0(\.0{1,4})?")
_EXAMPLE = "amounts by currency such as EUR=500,USD=500, each currency once"


@dataclass(frozen=True, slots=True)
class ApprovalLimits:
    """Currency → the minor units of one payment that may be refunded without an approval. Empty: none is needed.

    If it has any currency, a refund in a currency that it does not have always needs an approval.
    """

    above: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str) -> "ApprovalLimits":
        """The limits in a text such as `EUR=500,USD=0`; "" for none. Raises ValueError with what is allowed."""
        above: dict[str, int] = {}
        if not text:
            return cls()
        for part in text.split(","):
            currency, separator, amount = (piece.strip() for piece in part.partition("="))
            if not separator or currency in above:
                raise ValueError(_EXAMPLE)
            above[currency] = _minor_units(amount, currency)
        return cls(above)

    def __str__(self) -> str:
        """The inverse of `parse`."""
        return ",".join(f"{currency}={Money(most, currency).decimal}" for currency, most in self.above.items())

    def needs_approval(self, payment: Payment, money: Money) -> bool:
        """Whether a new refund needs an approval. All refunds of the payment count, also those that wait."""
        if not self.above:
            return False
        books = books_of(payment)
        most = self.above.get(money.currency)
        return most is None or books.refunded + books.reserved + money.minor_units > most


def _minor_units(amount: str, currency: str) -> int:
    try:
        if _ZERO.fullmatch(amount):
            Money.parse(1, currency)
            return 0
        return Money.parse(amount, currency).minor_units
    except InvalidMoney as wrong:
        raise ValueError(f"{_EXAMPLE}; {wrong}") from None
