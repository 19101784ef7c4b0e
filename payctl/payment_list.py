"""payctl payment list, payctl customer payments: lists of payments from the API, with its filters."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any
from urllib.parse import quote, urlencode

import typer

from payctl import show
from payctl.api import Api
from payctl.options import Json, stack_of
from payctl.stack import Stack

PAGE = 100
MOST_PAGES = 50
"""Pages of one command. A page without a hit has examined up to 600 payments."""
COLUMNS = ("payment", "status", "amount", "customer", "code", "accepted at", "updated at")

Day = Annotated[str | None, typer.Option(metavar="DATE", help="The payments of one day in UTC: 2026-11-21")]
Since = Annotated[str | None, typer.Option("--from", metavar="TIME", help="The earliest date, or date and time, UTC.")]
To = Annotated[str | None, typer.Option(metavar="TIME", help="The latest date, or date and time, in UTC.")]
WithStatus = Annotated[str | None, typer.Option(help="succeeded, declined, in_review, …")]
Currency = Annotated[str | None, typer.Option(help="ISO 4217 code: EUR")]
Amount = Annotated[str | None, typer.Option(help="The exact amount in major units: 99.99")]
Batch = Annotated[str | None, typer.Option(metavar="ID", help="The payments that an uploaded file created.")]
Metadata = Annotated[
    str | None, typer.Option(metavar="KEY=VALUE", help="The key is the one that SEARCHABLE_METADATA names.")
]
Limit = Annotated[int, typer.Option(min=1, max=PAGE * MOST_PAGES, help="Maximum number of payments shown.")]


def list_payments(
    context: typer.Context,
    day: Day = None,
    since: Since = None,
    to: To = None,
    status: WithStatus = None,
    currency: Currency = None,
    amount: Amount = None,
    customer: Annotated[str | None, typer.Option(metavar="ID", help="The payments of this customer.")] = None,
    batch: Batch = None,
    metadata: Metadata = None,
    gateway_reference: Annotated[
        str | None, typer.Option(metavar="PI", help="The payment of this payment intent of Stripe: pi_…")
    ] = None,
    limit: Limit = 20,
    json: Json = False,
) -> None:
    """List payments, newest first. All given filters must hold. Without a time: those of the last 30 days.

    --currency and --amount need one of --day, --customer, --batch, --metadata.
    """
    query = {
        "day": day,
        "from": since,
        "to": to,
        "status": status,
        "currency": currency,
        "amount": amount,
        "customer_id": customer,
        "batch_id": batch,
        "metadata": _entry(metadata),
        "gateway_reference": gateway_reference,
    }
    _print(stack_of(context), "/payments", query, limit, json)


def customer_payments(
    context: typer.Context,
    customer_id: Annotated[str, typer.Argument(metavar="ID", help="Your id for the customer.")],
    day: Day = None,
    since: Since = None,
    to: To = None,
    status: WithStatus = None,
    currency: Currency = None,
    amount: Amount = None,
    batch: Batch = None,
    metadata: Metadata = None,
    limit: Limit = 20,
    json: Json = False,
) -> None:
    """List a customer's payments, newest first. All given filters must hold."""
    query = {
        "day": day,
        "from": since,
        "to": to,
        "status": status,
        "currency": currency,
        "amount": amount,
        "batch_id": batch,
        "metadata": _entry(metadata),
    }
    _print(stack_of(context), f"/customers/{quote(customer_id, safe='')}/payments", query, limit, json)


def _entry(metadata: str | None) -> str | None:
    """The API's form of KEY=VALUE: a key has no colon if it is searchable."""
    return metadata.replace("=", ":", 1) if metadata else None


def _print(stack: Stack, path: str, query: Mapping[str, str | None], limit: int, json: bool) -> None:
    found: list[dict[str, Any]] = []
    examined, cursor = 0, ""
    for page in _pages(Api(stack), path, {name: value for name, value in query.items() if value is not None}, limit):
        found += page["payments"]
        examined, cursor = examined + page["examined"], page.get("next_cursor", "")
        if len(found) >= limit:
            break
    complete = not cursor and len(found) <= limit
    found = found[:limit]
    if json:
        show.as_json({"payments": found, "examined": examined, "complete": complete})
        return
    show.table(f"payments in {stack.name}", COLUMNS, map(_row, found))
    show.note(f"{len(found)} shown, {examined} examined")
    if not complete:
        show.note("there may be more: narrow the filters, or raise --limit")


def _pages(api: Api, path: str, query: dict[str, str], limit: int) -> Iterator[dict[str, Any]]:
    cursor = ""
    for _ in range(MOST_PAGES):
        asked = {**query, "limit": str(min(limit, PAGE)), **({"cursor": cursor} if cursor else {})}
        page = api.call("GET", f"{path}?{urlencode(asked)}").body
        yield page
        cursor = page.get("next_cursor", "")
        if not cursor:
            return


def _row(payment: Mapping[str, Any]) -> tuple[object, ...]:
    return (
        payment["payment_id"],
        show.status(payment["status"]),
        f"{payment['amount']} {payment['currency']}",
        payment.get("customer_id", ""),
        payment.get("code", ""),
        payment["created_at"],
        payment["updated_at"],
    )
