"""Lists of payments over REST: newest first, in pages, filtered by status and time."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from payments.domain.customer import Customer
from payments.domain.identity import Caller, Role
from payments.domain.listing import Cursor, Page
from payments.domain.money import shown
from payments.domain.payment import FieldError, Payment
from payments.domain.statuses import Status
from payments.rest.http import Problem, answer
from payments.rest.owners import require_own_customer
from payments.rest.request import Request
from payments.rest.services import Services
from payments.rest.views import link_to

PARAMETERS = ("limit", "cursor", "status", "from", "to")
DEFAULT_LIMIT, MAX_LIMIT = 20, 100
DEFAULT_SPAN = timedelta(days=30)
"""How far back the list of all payments goes without `from`."""
BEGINNING, END = datetime(2000, 1, 1, tzinfo=UTC), datetime(3000, 1, 1, tzinfo=UTC)
"""Payments are never outside this range. Times beyond it are replaced by these."""
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)
_DATE_TIME = re.compile(
    _DATE.pattern + r"T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?(Z|[+-][0-9]{2}:[0-9]{2})?", re.ASCII
)
_DAY = timedelta(days=1)
_TICK = timedelta(milliseconds=1)
"""The resolution of the times of payments."""


@dataclass(frozen=True, slots=True)
class Asked:
    """The validated parameters of a page. `until` is exclusive."""

    limit: int
    after: Cursor | None
    status: Status | None
    since: datetime | None
    until: datetime | None


def list_payments(request: Request, services: Services) -> dict[str, Any]:
    """GET /payments: 200 with a page of `payments`, newest first, `next_cursor` if there may be more, and links.

    Raises Problem 400 naming the invalid parameters.
    """
    asked = parse_query(request.query)
    tomorrow = request.at.replace(hour=0, minute=0, second=0, microsecond=0) + _DAY
    until = min(asked.until or tomorrow, tomorrow)
    since = asked.since or until - DEFAULT_SPAN
    page = Page([])
    if since < until:
        page = services.listing.all(status=asked.status, since=since, until=until, limit=asked.limit, after=asked.after)
    return answer(200, page_view(page, "/payments", request.query))


def list_customer_payments(request: Request, services: Services) -> dict[str, Any]:
    """GET /customers/{customer_id}/payments: 200 with a page, as list_payments.

    Raises Problem 400 naming the invalid parameters, and 404 if the caller has no such customer.
    """
    customer = require_own_customer(request, services, request.path["customer_id"])
    page = customer_page(request, services, customer)
    return answer(200, page_view(page, f"/customers/{customer.customer_id}/payments", request.query))


def customer_page(request: Request, services: Services, customer: Customer) -> Page:
    """A page of the customer's payments that the caller may see. Raises Problem 400 naming the invalid parameters."""
    asked = parse_query(request.query)
    return services.listing.of_customer(
        customer.customer_id,
        status=asked.status,
        since=asked.since,
        until=asked.until,
        limit=asked.limit,
        after=asked.after,
        submitted_by=_submitter(request.caller, customer),
    )


def page_view(page: Page, path: str, query: Mapping[str, str]) -> dict[str, Any]:
    """A page as the API shows it. `path` and `query` are those of the request."""
    view: dict[str, Any] = {"payments": [payment_summary(payment) for payment in page.payments]}
    links = {"self": _link(path, query)}
    if page.next_cursor:
        view["next_cursor"] = page.next_cursor
        links["next"] = _link(path, {**query, "cursor": page.next_cursor})
    return view | {"links": links}


def payment_summary(payment: Payment) -> dict[str, Any]:
    """A payment in a list, without encrypted fields. Empty fields are omitted."""
    summary = {
        "payment_id": payment.payment_id,
        "status": payment.status.value,
        "amount": payment.money.decimal,
        "currency": payment.money.currency,
        "customer_id": payment.customer_id,
        "created_at": payment.created_at,
        "updated_at": payment.updated_at,
    }
    return {name: value for name, value in summary.items() if value != ""} | {
        "links": {"self": link_to(payment.payment_id)}
    }


def parse_query(query: Mapping[str, str]) -> Asked:
    """Validate the parameters of a page. Raises Problem 400 naming all invalid parameters."""
    errors: list[FieldError] = []

    def parsed[T](name: str, parse: Any, allowed: str, default: T) -> T:
        if name not in query:
            return default
        try:
            value: T = parse(query[name])
        except (ValueError, OverflowError):
            errors.append(FieldError(name, f"{shown(query[name])} given; {allowed}"))
            return default
        return value

    for name in query:
        if name not in PARAMETERS:
            errors.append(FieldError("parameter", f"unknown parameter {shown(name)}; allowed: {', '.join(PARAMETERS)}"))
    when = "give a date or a date and time in UTC such as 2026-11-21 or 2026-11-21T12:00:00Z"
    asked = Asked(
        limit=parsed("limit", _limit, f"give a whole number from 1 to {MAX_LIMIT}", DEFAULT_LIMIT),
        after=parsed("cursor", Cursor.parse, "give the next_cursor of the previous page, or none", None),
        status=parsed("status", Status, f"allowed are {', '.join(Status)}", None),
        since=parsed("from", _moment, when, None),
        until=parsed("to", _end, when, None),
    )
    if errors:
        raise Problem(400, "invalid-request", "some parameters are invalid; correct them and send it again", errors)
    return asked


def _limit(text: str) -> int:
    if not re.fullmatch("[0-9]{1,3}", text, re.ASCII) or not 1 <= int(text) <= MAX_LIMIT:
        raise ValueError(text)
    return int(text)


def _moment(text: str) -> datetime:
    if not _DATE.fullmatch(text) and not _DATE_TIME.fullmatch(text):
        raise ValueError(text)
    moment = datetime.fromisoformat(text)
    utc = moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    return min(max(utc, BEGINNING), END)


def _end(text: str) -> datetime:
    """The exclusive end of a range that includes the given time, or the whole day of a given date."""
    return _moment(text) + (_DAY if _DATE.fullmatch(text) else _TICK)


def _submitter(caller: Caller, customer: Customer) -> str:
    """The submitter to filter by: a merchant sees only its own payments; staff and the customer see all of them."""
    is_the_customer = caller.has(Role.CUSTOMER) and caller.subject == customer.subject
    return "" if caller.sees_all or is_the_customer else caller.subject


def _link(path: str, query: Mapping[str, str]) -> str:
    return f"{path}?{urlencode(query)}" if query else path
