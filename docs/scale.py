"""Which limit is full at how many payments a second, from what docs/costs.py counts.

    .venv/bin/python -m docs.scale

prints the tables of docs/scale.md, which a test holds against it.
"""

import re
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import NamedTuple

from pydantic import ValidationError

from docs.costs import TABLES, WRITES, Share, busy_milliseconds, runs_of, shares, transitions
from lib.dispatch_rate import STARTS_A_SECOND
from lib.settings import ENVIRONMENTS, Settings
from payments.adapters.dynamodb.batches import COUNTERS
from payments.adapters.dynamodb.tables import (
    BY_BATCH,
    BY_CUSTOMER,
    BY_DAY,
    BY_DUE,
    BY_EMAIL,
    BY_METADATA,
    BY_PARKED,
    BY_PAYMENT,
    BY_STATUS_DAY,
    BY_UNFINISHED,
    BY_UNSETTLED,
    CONTROLS,
    LIMITS,
    PAYMENTS,
    PROCESSING_STATUS,
)

RATES = (10, 100, 1_000, 10_000)
STRIPE_SECONDS = 1
"""How long Stripe takes to answer a charge. An assumption: a function waits for it."""
PROD = ENVIRONMENTS["prod"]
SLOTS_SHARE = Decimal(100 - PROD.gateway_reserve_percent) / 100
PARTITION_UNITS = 1_000
"""The write units a second of a DynamoDB partition. One key is in one partition. An index could spread a key over
several by its sort key, but not where that grows with time: all writes then meet in the last one."""

AWS = "https://docs.aws.amazon.com"
API_GATEWAY = f"{AWS}/apigateway/latest/developerguide/limits.html"
DYNAMODB = f"{AWS}/amazondynamodb/latest/developerguide"
STEP_FUNCTIONS = f"{AWS}/step-functions/latest/dg/service-quotas.html"
STRIPE = "https://docs.stripe.com/rate-limits"


class Limit(NamedTuple):
    """`allows` is a number a second, or one at a time. `takes` is how much of it a payment a second takes."""

    name: str
    allows: Decimal | int
    takes: Callable[[Share], Decimal | int]
    lift: str


class Key(NamedTuple):
    """What the rows under one partition key of an index have in common. `shares`: over how many keys they are spread;
    0 if each payment has its own."""

    what: str
    shares: int
    lift: str = ""


_SHARE = "add a share to its key (`succeeded#2026-11-21#7`)"
KEYS = {
    BY_BATCH: Key("the rows of one file", 1, "hold only keys in the index; or send several files"),
    BY_CUSTOMER: Key("the payments of one customer", 1, "a share in its key: lists then merge them"),
    BY_DAY: Key("the payments of today", 1, "add a share to the key; a list then merges the shares"),
    BY_DUE: Key("a quarter of the payments of one kind that recovery may look at", 4, "more shares of a kind"),
    BY_EMAIL: Key("", 0),
    BY_METADATA: Key("the payments with one value of a searchable key", 1, "a value for each payment"),
    BY_PARKED: Key("the parked events", 1, "add a share to the key"),
    BY_PAYMENT: Key("", 0),
    BY_STATUS_DAY: Key(
        "the payments that have one status since today", 1, "add a share to its key (`succeeded#2026-11-21#7`)"
    ),
    BY_UNFINISHED: Key("the unfinished batches", 1, "add a share to the key"),
    BY_UNSETTLED: Key("a sixteenth of the unsettled payments", 16, "take two digits for the key"),
}


def _highest(setting: str) -> int:
    """The highest value that a setting accepts, from what the code says about a value that it never accepts."""
    try:
        Settings.model_validate({setting: "?"})
    except ValidationError as refused:
        (allowed,) = re.findall(r"a whole number from \d+ to (\d+)", str(refused))
        return int(allowed)
    raise AssertionError(f"{setting} accepts everything")


def _settable(setting: str) -> str:
    return f"set it: up to {_highest(setting):,}"


def _counted(name: str) -> Callable[[Share], Decimal]:
    return lambda share: share.get(name, Decimal(0))


def _by_the_client(share: Share) -> Decimal:
    return _counted("API requests")(share) - share["webhook runs"]


def _concurrency(share: Share) -> Decimal:
    return sum(busy_milliseconds(share).values(), Decimal(0)) / 1000 + STRIPE_SECONDS


def _row_and_indexes(share: Share) -> Decimal:
    """The units of the table's rows, or of its index with the most: each has its own capacity."""
    return max(units for _, units in _writes(share, PAYMENTS.name))


def _writes(share: Share, table: str) -> Iterator[tuple[str, Decimal]]:
    """The units of the rows (""), and of each index."""
    yield "", _counted(f"{WRITES}{table}")(share)
    for index in TABLES[table].indexes:
        place = f"{WRITES}{table}/{index}/"
        yield index, sum((units for name, units in share.items() if name.startswith(place)), Decimal(0))


def _hottest(table: str, index: str, shares_of_key: int) -> Callable[[Share], Decimal]:
    """The units of the busiest kind of key in an index, for one of its shares."""
    place = f"{WRITES}{table}/{index}/"
    return lambda share: (
        max((units for name, units in share.items() if name.startswith(place)), default=Decimal(0)) / shares_of_key
    )


def _our_limits() -> Iterator[Limit]:
    charges = _counted(f"{WRITES}{CONTROLS.name}")  # a slot of the rate limiter for each request
    yield Limit(
        "`MERCHANT_QUOTA_PER_DAY`, one merchant",
        Decimal(PROD.merchant_quota_per_day) / (24 * 60 * 60),
        _by_the_client,
        _settable("merchant_quota_per_day"),
    )
    yield Limit(
        f"`GATEWAY_RATE_PER_SECOND`, for [Stripe's limit of an endpoint]({STRIPE})",
        PROD.gateway_rate_per_second * SLOTS_SHARE,
        charges,
        "ask Stripe for more, then set it",
    )
    yield Limit(
        "`MERCHANT_RATE_PER_SECOND`, one merchant",
        PROD.merchant_rate_per_second,
        _by_the_client,
        _settable("merchant_rate_per_second"),
    )
    yield Limit(
        "`RATE_PER_IP_PER_MINUTE`, one address",
        Decimal(PROD.rate_per_ip_per_minute) / 60,
        lambda share: 1 if _by_the_client(share) else 0,
        _settable("rate_per_ip_per_minute"),
    )
    yield Limit(
        "`API_RATE_PER_SECOND`", PROD.api_rate_per_second, _counted("API requests"), _settable("api_rate_per_second")
    )
    yield Limit(
        f"[Stripe's limit of a live account]({STRIPE})", 100 * SLOTS_SHARE, charges, "ask Stripe; or several accounts"
    )
    yield Limit(
        "the highest `GATEWAY_RATE_PER_SECOND`",
        _highest("gateway_rate_per_second") * SLOTS_SHARE,
        charges,
        "several environments, each with its Stripe account",
    )
    yield Limit(
        f"[dispatchers of one queue]({AWS}/lambda/latest/dg/services-sqs-scaling.html)",
        1_000,
        lambda share: Decimal(1) / STARTS_A_SECOND if "dispatch runs" in share else 0,
        "several queues, or environments",
    )


def _quotas() -> Iterator[Limit]:
    executions = f"StartExecution]({STEP_FUNCTIONS})"
    yield Limit(f"[Step Functions, Standard: {executions}", 300, lambda _: 1, "`WORKFLOW_TYPE=EXPRESS`, or a quota")
    yield Limit(
        f"[Step Functions, Standard: state transitions]({STEP_FUNCTIONS})",
        5_000,
        lambda _: transitions(),
        "`WORKFLOW_TYPE=EXPRESS` has no such limit",
    )
    yield Limit(f"[Step Functions, Express: {executions}", 6_000, lambda _: 1, "a quota")
    yield Limit(
        f"[Lambda: concurrent executions]({AWS}/lambda/latest/operatorguide/scaling-concurrency.html)",
        1_000,
        _concurrency,
        "a quota",
    )
    yield Limit(
        f"[Lambda: requests, ten times those]({AWS}/lambda/latest/dg/lambda-concurrency.html)",
        10_000,
        lambda share: sum(runs_of(share).values(), Decimal(0)),
        "the same quota",
    )
    yield Limit(f"[API Gateway: requests]({API_GATEWAY})", 10_000, _counted("API requests"), "a quota")
    yield Limit(
        f"[WAF: requests of a web ACL]({AWS}/waf/latest/developerguide/limits.html)",
        100_000,
        _counted("API requests"),
        "a quota",
    )
    yield Limit(
        f"[DynamoDB: a table that is new]({DYNAMODB}/on-demand-capacity-mode.html)",
        4_000,
        _row_and_indexes,
        f"raise its [warm throughput]({DYNAMODB}/warm-throughput.html) before the peak",
    )
    yield Limit(f"[DynamoDB: a table]({DYNAMODB}/ServiceQuotas.html)", 40_000, _row_and_indexes, "a quota")
    yield Limit(
        f"[KMS: symmetric operations]({AWS}/kms/latest/developerguide/requests-per-second.html)",
        50_000,
        _counted("KMS requests"),
        "a quota",
    )
    yield Limit(f"[SNS: messages]({AWS}/general/latest/gr/sns.html)", 30_000, _counted("SNS requests"), "a quota")
    yield Limit(
        f"[SQS: messages in flight]({AWS}/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-queues.html)",
        120_000,
        lambda share: 1 if "dispatch runs" in share else 0,
        "a quota",
    )


def _hot_keys() -> Iterator[Limit]:
    """Items and keys that many payments write to."""
    yield Limit(
        "the rate limiter's counter, one item",
        PARTITION_UNITS,
        _counted(f"{WRITES}{CONTROLS.name}"),
        "n counters of slots that are n times as long, each begun a slot later",
    )
    yield Limit(
        "the calls of one address in a minute, one item",
        PARTITION_UNITS,
        lambda share: _counted(f"{WRITES}{LIMITS.name}")(share) / 2,  # the other one is the customer's
        f"none, up to a `RATE_PER_IP_PER_MINUTE` of {60 * PARTITION_UNITS:,}",
    )
    yield Limit(
        f"the closed rows of one file, {COUNTERS} items",
        PARTITION_UNITS,
        lambda share: _counted(f"{WRITES}{PROCESSING_STATUS.name}")(share) / COUNTERS,
        "more items (`COUNTERS`)",
    )
    for table in TABLES.values():
        for index in table.indexes:
            key = KEYS[index]
            if key.shares:
                hottest = _hottest(table.name, index, key.shares)
                yield Limit(f"`{index}`: {key.what}", PARTITION_UNITS, hottest, key.lift)


def limits() -> list[Limit]:
    """Every limit that payments take something of."""
    return [*_our_limits(), *_quotas(), *_hot_keys()]


def tables(by_entrance: dict[str, Share]) -> list[str]:
    """The tables of docs/scale.md: one for each of `RATES`, of what is full at it and was not before; then the rest."""
    entrances = [by_entrance["REST"], by_entrance["batch"]]
    full = []
    for limit in limits():
        takes = [Decimal(limit.takes(share)) for share in entrances]
        if any(takes):
            full.append((limit.allows / max(takes), limit, takes))
    full.sort(key=lambda row: row[0])
    found, floor = [], Decimal(0)
    for rate in (*map(Decimal, RATES), Decimal("Infinity")):
        lines = [
            "| Full at | Limit | Allows | A payment takes: REST, batch | What lifts it |",
            "|---:|---|---:|---:|---|",
        ]
        lines += [
            f"| {_shown(at)} | {limit.name} | {_shown(Decimal(limit.allows))} | {', '.join(map(_shown, takes))} "
            f"| {limit.lift} |"
            for at, limit, takes in full
            if floor < at <= rate
        ]
        found.append("\n".join(lines))
        floor = rate
    return found


def _shown(number: Decimal) -> str:
    """Whole from 10 on, else with up to two places; rounded down, so that no limit looks higher than it is."""
    if number >= 10:
        return f"{int(number):,}"
    return f"{int(number * 100) / 100:g}"


if __name__ == "__main__":
    print("\n\n".join(tables(shares())))  # noqa: T201 - this is a command
