"""Card testing: whoever tries stolen cards out makes small charges on many of them, and is held for a person."""

import hashlib
from datetime import datetime, timedelta
from enum import StrEnum

from payments.domain.currencies import EXPONENTS
from payments.domain.money import Money
from payments.ports.limit_store import LimitStore

CARD_TESTING = "card_testing"
"""The hold's code."""


class Source(StrEnum):
    """Where charges come from."""

    IP = "ip"
    CUSTOMER = "customer"
    SUBJECT = "subject"


WINDOW = timedelta(minutes=10)
MOST_CARDS: dict[Source, int] = {
    Source.CUSTOMER: 5,  # a household's wallet
    Source.IP: 20,  # an office, a shop's till, a small merchant's server
    Source.SUBJECT: 100,  # a merchant submits for many: one new card every six seconds
}
"""How many different cards one source may use for small charges in a window; from the next one on all are held."""

SMALL_MINOR_UNITS: dict[int, int] = {
    0: 500,  # the currencies without a minor unit have one worth about a cent: 500 yen
    2: 500,  # 5.00
    3: 5_000,  # 5.000 dinars
    4: 1_000,  # 0.1000: both currencies are units of account worth some 40 dollars
}
"""Exponent of the currency → the most minor units that are small. Testers charge little, so that nobody looks."""


class Velocity:
    """Counts cards for each source in fixed windows, for all instances together: one write a source.

    Only a hash of a card's payment method or token is kept, so that repeats and replays count once. Raises
    LimitsUnavailable where the counters cannot be reached: a fraud rule that cannot look lets nothing through, and
    the client sends the same payment again.
    """

    def __init__(self, store: LimitStore) -> None:
        self._store = store

    def hold(
        self, money: Money, payment_method: str, *, at: datetime, ip: str = "", customer_id: str = "", subject: str = ""
    ) -> str:
        """The code to hold a payment with, or "". `payment_method` is what it is charged on as far as that names a new
        card, in any text that stays the same; "" for a card known before."""
        if not payment_method or not small(money):
            return ""
        card = hashlib.sha256(payment_method.encode()).hexdigest()[:32]
        sources = {Source.IP: ip, Source.CUSTOMER: customer_id, Source.SUBJECT: subject}
        # every source counts the card, also where one is over its limit already
        over = [self._over(source, who, card, at) for source, who in sources.items() if who]
        return CARD_TESTING if any(over) else ""

    def _over(self, source: Source, who: str, card: str, at: datetime) -> bool:
        window = int(at.timestamp() // WINDOW.total_seconds())
        ends = datetime.fromtimestamp(0, at.tzinfo) + (window + 1) * WINDOW
        most = MOST_CARDS[source]
        return self._store.add(f"cards#{source}#{who}#{window}", card, most=most, ends=ends) > most


def small(money: Money) -> bool:
    """True for an amount with which one would try a card out."""
    return money.minor_units <= SMALL_MINOR_UNITS[EXPONENTS[money.currency]]
