"""Card testing detection: many small charges on different cards from one source are held for review."""

import hashlib
from datetime import datetime, timedelta
from enum import StrEnum

from payments.domain.currencies import EXPONENTS
from payments.domain.money import Money
from payments.ports.limit_store import LimitStore

CARD_TESTING = "card_testing"
"""The code of the hold."""


class Source(StrEnum):
    """The kinds of sources of charges."""

    IP = "ip"
    CUSTOMER = "customer"
    SUBJECT = "subject"


WINDOW = timedelta(minutes=10)
MOST_CARDS: dict[Source, int] = {
    Source.CUSTOMER: 5,  # a household's wallet
    Source.IP: 20,  # an office, a shop, a small merchant's server
    Source.SUBJECT: 100,  # a merchant submits for many customers: one new card every six seconds
}
"""How many different cards one source may use for small charges in a window. Charges on further cards are held."""

SMALL_MINOR_UNITS: dict[int, int] = {
    0: 500,  # currencies without a minor unit have a unit worth about a cent: 500 yen
    2: 500,  # 5.00
    3: 5_000,  # 5.000 dinars
    4: 1_000,  # 0.1000: both currencies are units of account worth about 40 dollars
}
"""Exponent of the currency → the largest small amount in minor units. Card testers charge little to stay unnoticed."""


class Velocity:
    """Counts cards for each source in fixed windows, over all function instances, with one write a source.

    It stores only a hash of the card's payment method or token, so that repeats and replays count once. Raises
    LimitsUnavailable if the counters cannot be reached: the payment is then rejected, because the fraud rule cannot
    check it, and the client sends it again.
    """

    def __init__(self, store: LimitStore) -> None:
        self._store = store

    def hold(
        self, money: Money, payment_method: str, *, at: datetime, ip: str = "", customer_id: str = "", subject: str = ""
    ) -> str:
        """The code to hold a payment with, or "". `payment_method` identifies a new card by any text that stays the
        same for it, and is "" for a card that is already known."""
        if not payment_method or not small(money):
            return ""
        card = hashlib.sha256(payment_method.encode()).hexdigest()[:32]
        sources = {Source.IP: ip, Source.CUSTOMER: customer_id, Source.SUBJECT: subject}
        # every source counts the card, even if another one is already over its limit
        over = [self._over(source, who, card, at) for source, who in sources.items() if who]
        return CARD_TESTING if any(over) else ""

    def _over(self, source: Source, who: str, card: str, at: datetime) -> bool:
        window = int(at.timestamp() // WINDOW.total_seconds())
        ends = datetime.fromtimestamp(0, at.tzinfo) + (window + 1) * WINDOW
        most = MOST_CARDS[source]
        return self._store.add(f"cards#{source}#{who}#{window}", card, most=most, ends=ends) > most


def small(money: Money) -> bool:
    """True for an amount that is typical of card testing."""
    return money.minor_units <= SMALL_MINOR_UNITS[EXPONENTS[money.currency]]
