"""payctl payment totals: the payments of a day, summed by currency and status."""

from collections import Counter
from datetime import datetime, timedelta
from typing import Annotated

import typer

from payctl import adapters, show
from payctl.failures import Exit, Failure
from payctl.options import Json, stack_of
from payments.domain.clock import utc_now
from payments.domain.listing import EVERYTHING, Cursor
from payments.domain.money import Money

PAGE = 100
MOST = 100_000
"""Payments that one command reads: half a read unit each. More are an export."""


def totals(
    context: typer.Context,
    day: Annotated[
        datetime | None,
        typer.Option(formats=["%Y-%m-%d"], metavar="DATE", help="The day of acceptance, in UTC. Default: today."),
    ] = None,
    most: Annotated[int, typer.Option(min=1, max=MOST, help="Read at most so many payments.")] = MOST,
    json: Json = False,
) -> None:
    """Sum the payments that were accepted on a day, by currency and by their status now.

    It reads every payment of the day. If the day has more than --most, it says so and exits with 1.
    """
    stack = stack_of(context)
    since = (day or utc_now()).replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=utc_now().tzinfo)
    listing = adapters.listing(stack)
    counts: Counter[tuple[str, str]] = Counter()
    sums: Counter[tuple[str, str]] = Counter()
    read, cursor = 0, ""
    with show.err.status("reading the payments of the day"):
        while read < most:
            page = listing.all(
                where=EVERYTHING,
                since=since,
                until=since + timedelta(days=1),
                limit=min(PAGE, most - read),
                after=Cursor.parse(cursor) if cursor else None,
            )
            for payment in page.payments:
                key = (payment.money.currency, payment.status.value)
                counts[key] += 1
                sums[key] += payment.money.minor_units
            read, cursor = read + page.examined, page.next_cursor
            if not cursor:
                break
    rows = [(currency, status, counts[currency, status], sums[currency, status]) for currency, status in sorted(counts)]
    shown = f"{since:%Y-%m-%d}"
    if json:
        show.as_json(
            {
                "environment": stack.name,
                "day": shown,
                "complete": not cursor,
                "totals": [
                    {"currency": currency, "status": status, "count": count, "amount": Money(amount, currency).decimal}
                    for currency, status, count, amount in rows
                ],
            }
        )
    else:
        show.table(
            f"payments accepted on {shown} in {stack.name}",
            ("currency", "status", "count", "amount"),
            [
                (currency, show.status(status), count, Money(amount, currency).decimal)
                for currency, status, count, amount in rows
            ],
        )
    if cursor:
        raise Failure(
            f"these are the newest {read} payments of the day; there are more",
            details=[f"read more with --most, up to {MOST}; for a busier day, export the payments table to S3"],
            code=Exit.FAILED,
        )
