"""A day of honest buyers at many merchants, and card testers among them, in virtual time and in memory.

    python -m tests.unit.red_team.card_testing_day --rate 20

prints what was held on a whole day at 20 payments a second, which takes some minutes.
"""

import argparse
import math
import random
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from heapq import heappop, heappush
from itertools import count
from typing import NamedTuple

from fakes.limits import MemoryLimitStore
from fakes.text_hasher import MemoryTextHasher
from payments.application.velocity import Addresses, Buyer, MerchantLimits, MerchantTable, Velocity, note_decline
from payments.domain.money import Money
from payments.domain.small_amounts import SMALL_MINOR_UNITS

MIDNIGHT = datetime.fromisoformat("2026-11-21T00:00:00+00:00")
DAY_SECONDS = 24 * 3600
DECLINED_HONEST = 0.08
"""The share of first payments on a card that are declined: 5 to 15 % are usual in card-not-present trade."""
DECLINED_TESTED = 0.8
ANSWER_SECONDS = 3
"""The time from a payment's acceptance to the answer of its bank."""
RETURNING = 0.4
"""The share of payments on a card that the merchant has on file: they name their customer, and no payment method."""
BY_HOUR = [2, 1, 1, 1, 1, 2, 4, 6, 8, 9, 10, 11, 12, 11, 10, 10, 11, 12, 13, 14, 14, 11, 7, 4]
"""How the payments of a day fall on its hours."""


class Merchant(NamedTuple):
    """`share` of all payments, `small` the share of its payments with a small amount."""

    name: str
    share: float
    gives_address: bool
    small: float
    currency: str


class Payment(NamedTuple):
    """A payment as the rule sees it. `tester` is "" for an honest one."""

    card: str
    buyer: Buyer
    money: Money
    declined: bool
    tester: str = ""


def merchants(rng: random.Random, number: int = 40) -> list[Merchant]:
    """Merchants of very different sizes; every third never gives an address. Every tenth sells cheap things."""
    weights = [1 / place for place in range(1, number + 1)]
    currencies = ["EUR", "USD", "HUF", "JPY", "PLN", "KRW", "CLP"]
    return [
        Merchant(
            f"shop{place}",
            weight / sum(weights),
            place % 3 != 0,
            0.9 if place % 10 == 7 else 0.03,
            rng.choice(currencies),
        )
        for place, weight in enumerate(weights)
    ]


def limits_of(merchant: Merchant, rate: float) -> MerchantLimits:
    """What its operator sets, from its own numbers: twice its busiest 20 minutes, at least the default."""
    mean = merchant.share * rate * max(BY_HOUR) / (sum(BY_HOUR) / 24) * 1200 * (1 - RETURNING)
    default = MerchantLimits()
    cards, small = (round(2 * (number + 3 * math.sqrt(number))) for number in (mean, mean * merchant.small))
    return MerchantLimits(max(default.cards, cards), max(default.small, small))


@dataclass
class Buyers:
    """Where honest buyers come from: most from a network of their own, some from behind one that they share."""

    rng: random.Random
    carriers: int = 2_000
    offices: int = 400
    numbers: Iterator[int] = field(default_factory=lambda: count(1))

    def one(self) -> Buyer:
        """A buyer with an address and a customer id; a fifth buys as a guest."""
        number = next(self.numbers)
        kind = self.rng.random()
        if kind < 0.15:  # mobile subscribers behind a carrier's addresses (carrier-grade NAT)
            shared = self.rng.randrange(self.carriers)
            address = f"5.{shared // 250}.{shared % 250}.1"
        elif kind < 0.2:
            shared = self.rng.randrange(self.offices)
            address = f"6.{shared // 250}.{shared % 250}.1"
        elif kind < 0.6:
            address = f"2a00:{number >> 32:x}:{number >> 16 & 0xFFFF:x}:{number & 0xFFFF:x}::1"
        else:
            address = f"{20 + (number >> 24) % 80}.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"
        return Buyer(address, "" if self.rng.random() < 0.2 else f"cus_{number}")


def honest(
    rng: random.Random, shops: list[Merchant], rate: float, begins_at: float = 0.0
) -> Iterator[tuple[float, Payment]]:
    """The honest payments of a day on new cards, in the order of time. `rate` is the mean of all payments a second."""
    buyers, cards = Buyers(rng), count(1)
    mean = sum(BY_HOUR) / 24
    weights = [shop.share for shop in shops]
    at = begins_at
    while True:
        busy = BY_HOUR[min(int(at // 3600), 23)] / mean
        at += rng.expovariate(rate * busy * (1 - RETURNING))
        if at >= DAY_SECONDS:
            return
        (shop,) = rng.choices(shops, weights)
        buyer = buyers.one()._replace(merchant=shop.name)
        small = SMALL_MINOR_UNITS[shop.currency]
        amount = rng.randint(1, small) if rng.random() < shop.small else small + int(rng.expovariate(1 / (20 * small)))
        card = f"pm_{next(cards)}"
        tries = 1
        while True:
            declined = rng.random() < DECLINED_HONEST
            yield (
                at,
                Payment(
                    card,
                    buyer if shop.gives_address else buyer._replace(address=""),
                    Money(amount, shop.currency),
                    declined,
                ),
            )
            if not declined or tries == 3 or rng.random() < 0.3:
                break
            tries += 1
            card = card if rng.random() < 0.5 else f"pm_{next(cards)}"  # the same buyer tries another card


CARDS = 60
"""How many cards a tester has."""


class Pattern(NamedTuple):
    """A way of testing cards. `addresses` are those that it rotates, `customers` the same. A card each `seconds`."""

    name: str
    addresses: int
    customers: int
    seconds: float
    small: bool = True
    then_large: bool = False
    begins_at: float = 11.3 * 3600


PATTERNS = [
    Pattern("one address, many cards", addresses=1, customers=0, seconds=2),
    Pattern("many addresses, few cards each", addresses=150, customers=0, seconds=4),
    Pattern("slow drip", addresses=1, customers=0, seconds=15 * 60, begins_at=2 * 3600),
    Pattern("small, then large", addresses=1, customers=0, seconds=5, then_large=True),
    Pattern("one customer, many addresses", addresses=200, customers=1, seconds=20),
    Pattern("ordinary amounts", addresses=1, customers=0, seconds=30, small=False),
    Pattern("all at once", addresses=1, customers=0, seconds=0.02),
]


def tries_of(rng: random.Random, pattern: Pattern, shop: Merchant) -> Iterator[tuple[float, Payment]]:
    """The payments of a tester at a merchant."""
    small = SMALL_MINOR_UNITS[shop.currency]
    good: list[str] = []
    for number in range(CARDS):
        at = pattern.begins_at + number * pattern.seconds
        address = f"77.{number % pattern.addresses // 250}.{number % pattern.addresses % 250}.9"
        customer = f"cus_tester{number % pattern.customers}" if pattern.customers else ""
        buyer = Buyer(address if shop.gives_address else "", customer, shop.name)
        card, declined = f"pm_stolen{pattern.name}{shop.name}{number}", rng.random() < DECLINED_TESTED
        amount = rng.randint(small // 8 + 1, small) if pattern.small else 20 * small
        yield at, Payment(card, buyer, Money(amount, shop.currency), declined, f"{pattern.name} at {shop.name}")
        if not declined:
            good.append(card)
        if pattern.then_large and number % 5 == 4 and good:
            large = Money(100 * small, shop.currency)
            yield at + 1, Payment(good.pop(), buyer, large, declined=False, tester=f"{pattern.name} at {shop.name}")


@dataclass
class Outcome:
    """What a day came to: honest payments, those that were held, and the cards that each tester got through."""

    honest: int = 0
    held: list[Payment] = field(default_factory=list)
    passed: dict[str, set[str]] = field(default_factory=dict)
    stopped: Counter[str] = field(default_factory=Counter)
    writes: int = 0
    most_of_an_item: int = 0


def run(payments: Iterator[tuple[float, Payment]], table: MerchantTable) -> Outcome:
    """Count the payments of a day in their order, and their declines when the bank's answer arrives."""
    store, outcome = MemoryLimitStore(), Outcome()
    velocity = Velocity(store, Addresses(MemoryTextHasher()), table)
    answers: list[tuple[float, int, str]] = []
    for number, (seconds, payment) in enumerate(payments):
        while answers and answers[0][0] <= seconds:
            due, _, counters = heappop(answers)
            note_decline(store, counters, MIDNIGHT + timedelta(seconds=due))
        at = MIDNIGHT + timedelta(seconds=seconds)
        hold, counters = velocity.count(payment.money, payment.card, payment.buyer, at=at)
        if payment.declined and not hold:
            heappush(answers, (seconds + ANSWER_SECONDS, number, counters))
        if not payment.tester:
            outcome.honest += 1
            if hold:
                outcome.held.append(payment)
        elif hold:
            outcome.stopped[payment.tester] += 1
        else:
            outcome.passed.setdefault(payment.tester, set()).add(payment.card)
    outcome.writes = store.writes
    outcome.most_of_an_item = max(sum(map(len, sets.values())) for sets in store.members.values())
    return outcome


def table_of(shops: list[Merchant], rate: float) -> MerchantTable:
    """Each merchant's limits, for a day of this rate."""
    return MerchantTable(by_subject={shop.name: limits_of(shop, rate) for shop in shops})


def main() -> None:
    """Print what was held."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=float, default=20)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    rng = random.Random(asked.seed)
    shops = merchants(rng)
    day = run(honest(rng, shops, asked.rate), table_of(shops, asked.rate))
    sys.stdout.write(
        f"{day.honest} payments on new cards, {len(day.held)} held, {day.writes / day.honest:.2f} writes a payment\n"
    )
    sys.stdout.write(f"the largest item had {day.most_of_an_item} members\n")
    for payment in day.held[:20]:
        sys.stdout.write(f"  {payment}")


if __name__ == "__main__":
    main()
