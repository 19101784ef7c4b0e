"""Card testing detection: payments on many new cards from one source are held for review.

A card tester tries cards that are stolen or guessed, most of them in vain, to learn which ones work. A source is the
buyer's address, the customer, or the merchant through which a payment comes. Each has one item in the limits table for
each span, with the cards of each slot, so that one write counts a card and shows the counts of the whole span:

- many cards in two slots, or fewer of them with small amounts;
- many small amounts in the span, for a tester who is patient;
- most cards of the span declined.

The address of a merchant's server says nothing about its buyers and is never counted. A payment of a merchant that does
not give the buyer's address counts for the merchant instead, whose limits are settings.
"""

import hashlib
import hmac
import math
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import NamedTuple

from payments.domain.client_address import network_of
from payments.domain.money import Money
from payments.domain.small_amounts import is_small
from payments.ports.limit_store import CounterFull, LimitStore, LimitsUnavailable
from payments.ports.text_hasher import TextHasher

CARD_TESTING = "card_testing"
"""The code of the hold."""
SLOT = timedelta(minutes=10)
DAY, HOUR = timedelta(days=1), timedelta(hours=1)
NEVER = 10**9


class Source(StrEnum):
    """The kinds of sources of payments."""

    ADDRESS = "ip"
    CUSTOMER = "customer"
    MERCHANT = "merchant"
    """All payments of a merchant that give no address."""
    SMALL = "merchant-small"
    """All small payments of a merchant."""


class Limits(NamedTuple):
    """The most different cards of a source. `cards` and `small` count two slots: this one and the one before."""

    cards: int
    small: int = NEVER
    small_in_span: int = NEVER
    span: timedelta = DAY


MOST_CARDS: dict[Source, Limits] = {
    # an office, a school, or a few of the thousand households behind a carrier's address
    Source.ADDRESS: Limits(cards=24, small=12, small_in_span=24),
    Source.CUSTOMER: Limits(cards=10, small=5, small_in_span=10),  # a household's wallet
}
FEWEST_DECLINED = 10
"""From so many declined cards in a span on, a source is held if they are half of its cards. Of the cards that honest
buyers use for the first time, 5 to 15 in 100 are declined, of a tester's more than 70."""
_MOST_DECLINED = 60
MOST_IN_ITEM = 120
"""A merchant with a higher limit is counted in shares, each with its own item: no item becomes large, or is written
more than a few times a second."""


class MerchantLimits(NamedTuple):
    """The most different cards of a merchant in two slots: of payments without an address, and with small amounts."""

    cards: int = 120
    small: int = 24

    @classmethod
    def parse(cls, text: str) -> "MerchantLimits":
        """The limits in a setting such as `120/24`."""
        cards, _, small = text.partition("/")
        return cls(int(cards), int(small))


@dataclass(frozen=True)
class MerchantTable:
    """The limits of each merchant by its subject, and of all others."""

    others: MerchantLimits = field(default_factory=MerchantLimits)
    by_subject: Mapping[str, MerchantLimits] = field(default_factory=dict)

    @classmethod
    def parse(cls, others: str, listed: str) -> "MerchantTable":
        """The table in two settings: `120/24`, and `client-id=1200/240,…`."""
        pairs = (entry.partition("=") for entry in listed.split(",") if entry)
        return cls(MerchantLimits.parse(others), {who: MerchantLimits.parse(limits) for who, _, limits in pairs})

    def of(self, subject: str) -> MerchantLimits:
        """The limits of one merchant."""
        return self.by_subject.get(subject, self.others)


class Buyer(NamedTuple):
    """What a payment says about where it comes from. Empty texts are unknown."""

    address: str = ""
    customer_id: str = ""
    merchant: str = ""


class Counted(NamedTuple):
    """`hold` is the code to hold a payment with, or "". `counters` says where its card was counted: see
    `note_decline`."""

    hold: str = ""
    counters: str = ""


NOT_COUNTED = Counted()


class Addresses:
    """Keyed hashes of addresses. The key of a day is made by KMS and kept for that day by each instance: a request to
    KMS for each payment would cost more than all its counters. Without KMS, no address can be found by its hash."""

    def __init__(self, hasher: TextHasher) -> None:
        self._hasher = hasher
        self._of_day = "", b""

    def hash_of(self, address: str, at: datetime) -> str:
        """The hash of the network of an address on the day of `at`. Raises EncryptionUnavailable."""
        today, (day, key) = f"{at:%Y-%m-%d}", self._of_day
        if day != today:
            key = self._hasher.hash_of(f"client_ip\n{today}").encode()
            self._of_day = today, key  # one assignment: the splitter has several threads
        return urlsafe_b64encode(hmac.digest(key, network_of(address).encode(), "sha256")[:15]).decode()


class _Place(NamedTuple):
    """A source, its name in the limits table, and its limits."""

    source: Source
    who: str
    limits: Limits


class Velocity:
    """Counts cards for each source, over all function instances, with one write a source.

    It stores only a hash of the card's payment method or token, so that repeats and replays count once. Raises
    LimitsUnavailable if the counters cannot be reached: the payment is then rejected, because the fraud rule cannot
    check it, and the client sends it again.
    """

    def __init__(self, store: LimitStore, addresses: Addresses, merchants: MerchantTable) -> None:
        self._store = store
        self._addresses = addresses
        self._merchants = merchants

    def count(self, money: Money, payment_method: str, buyer: Buyer, *, at: datetime) -> Counted:
        """Count the card of a new payment. `payment_method` identifies it by any text that stays the same for it, and
        is "" for a card that is already known."""
        if not payment_method:
            return NOT_COUNTED
        card = _short_hash(payment_method)
        small = is_small(money)
        counted, over = [card], False
        # a buyer who is held counts no more for the merchant, whose other buyers would be held as well
        for places in (self._places_of_buyer(buyer, at), self._places_of_merchant(buyer, card, small=small)):
            if not over:
                counted += [_counter(place, at) for place in places]
                over = True in [self._over(place, card, at, small=small) for place in places]  # all of them count it
        return Counted(CARD_TESTING if over else "", " ".join(counted) if len(counted) > 1 else "")

    def _places_of_buyer(self, buyer: Buyer, at: datetime) -> list[_Place]:
        places = []
        if buyer.address:
            hashed = self._addresses.hash_of(buyer.address, at)
            places.append(_Place(Source.ADDRESS, hashed, MOST_CARDS[Source.ADDRESS]))
        if buyer.customer_id:
            places.append(_Place(Source.CUSTOMER, buyer.customer_id, MOST_CARDS[Source.CUSTOMER]))
        return places

    def _places_of_merchant(self, buyer: Buyer, card: str, *, small: bool) -> list[_Place]:
        places = []
        if buyer.merchant:
            limits = self._merchants.of(buyer.merchant)
            if not buyer.address:
                places.append(_share(Source.MERCHANT, buyer.merchant, limits.cards, card))
            if small:
                places.append(_share(Source.SMALL, buyer.merchant, limits.small, card))
        return places

    def _over(self, place: _Place, card: str, at: datetime, *, small: bool) -> bool:
        limits = place.limits
        slot = int(at.timestamp() % limits.span.total_seconds() // SLOT.total_seconds())
        most = {f"c{slot}": limits.cards}
        if small and limits.small < NEVER:
            most[f"s{slot}"] = limits.small
        ends = datetime.fromtimestamp(0, at.tzinfo) + (_number(at, limits.span) + 1) * limits.span
        try:
            sets = self._store.add(_counter(place, at), card, most=most, ends=ends)
        except CounterFull:
            return True

        def last_two(kind: str) -> int:
            return len(sets.get(f"{kind}{slot}", frozenset()) | sets.get(f"{kind}{slot - 1}", frozenset()))

        declined = len(sets.get("declined", ()))
        if declined >= FEWEST_DECLINED and 2 * declined >= _in_span(sets, "c"):
            # a held card gets no answer; as a good one it would end the hold, and the tester would go on
            _count_declined(self._store, _counter(place, at), card, at)
            return True
        return (
            last_two("c") > limits.cards or last_two("s") > limits.small or _in_span(sets, "s") > limits.small_in_span
        )


def note_decline(store: LimitStore, counters: str, at: datetime) -> None:
    """The card of a payment was declined. `counters` is what `Velocity.count` returned for the payment.

    Nothing is raised if the counters cannot be reached: the payment has its outcome.
    """
    if not counters:
        return
    card, *names = counters.split(" ")
    with suppress(LimitsUnavailable):
        for name in names:
            _count_declined(store, name, card, at)


def _count_declined(store: LimitStore, counter: str, card: str, at: datetime) -> None:
    with suppress(CounterFull):
        store.add(counter, card, most={"declined": _MOST_DECLINED}, ends=at + DAY)


def _share(source: Source, merchant: str, limit: int, card: str) -> _Place:
    """The share of a merchant's cards that a card belongs to. Cards fall into the shares at random: each share has a
    margin of five standard deviations, so that a merchant within its limit is not held."""
    shares = -(-limit // MOST_IN_ITEM)
    if shares == 1:
        return _Place(source, merchant, Limits(limit, span=HOUR))
    each = -(-limit // shares)
    share = int(hashlib.sha256(card.encode()).hexdigest()[:8], 16) % shares
    return _Place(source, f"{merchant}.{share}", Limits(each + 5 * math.isqrt(each) + 5, span=HOUR))


def _counter(place: _Place, at: datetime) -> str:
    return f"cards#{place.source}#{place.who}#{_number(at, place.limits.span)}"


def _number(at: datetime, length: timedelta) -> int:
    """The number of the slot or span that a time is in."""
    return int(at.timestamp() // length.total_seconds())


def _in_span(sets: Mapping[str, frozenset[str]], kind: str) -> int:
    return len(frozenset().union(*(members for name, members in sets.items() if name.startswith(kind))))


def _short_hash(text: str) -> str:
    """36 bits, which are enough to tell the hundred cards of an item apart, and few: an item stays small."""
    return urlsafe_b64encode(hashlib.sha256(text.encode()).digest()[:5]).decode()[:6]
