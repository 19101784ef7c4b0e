"""Lists of payments over REST: newest first, in pages, filtered by what the indexes hold or by a bounded read."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

from payments.domain.customer import Customer
from payments.domain.errors import CHARGE_NOT_FOUND, OutcomeUnknown
from payments.domain.fraud_hold import as_payers_see_it
from payments.domain.identity import Caller, Role
from payments.domain.listing import Page, Where
from payments.domain.payment import FieldError, Payment
from payments.domain.statuses import Status
from payments.rest.gateway import at_gateway
from payments.rest.http import answer
from payments.rest.list_query import DAY, OF_A_CUSTOMER, OF_A_PAGE, OF_ALL, Asked, parse_query, refused
from payments.rest.owners import require_own_customer
from payments.rest.request import Request
from payments.rest.services import Services
from payments.rest.views import link_to

DEFAULT_SPAN = timedelta(days=30)
"""How far back the list of all payments goes without `from`."""
_ADD = "no index holds it, so that every payment would be read; add day, customer_id or batch_id, or export the table"


def list_payments(request: Request, services: Services) -> dict[str, Any]:
    """GET /payments: 200 with a page of `payments`, newest first, `next_cursor` if there may be more, and links.

    Raises Problem 400 naming the invalid parameters, and 429 and 503 if the gateway was asked and did not answer.
    """
    asked = parse_query(request.query, OF_ALL, searchable=services.searchable.key)
    return answer(200, page_view(_page_of_all(request, services, asked), "/payments", request.query))


def list_customer_payments(request: Request, services: Services) -> dict[str, Any]:
    """GET /customers/{customer_id}/payments: 200 with a page, as list_payments.

    Raises Problem 400 naming the invalid parameters, and 404 if the caller has no such customer.
    """
    customer = require_own_customer(request, services, request.path["customer_id"])
    page = customer_page(request, services, customer, OF_A_CUSTOMER)
    return answer(200, page_view(page, f"/customers/{customer.customer_id}/payments", request.query))


def customer_page(
    request: Request, services: Services, customer: Customer, parameters: tuple[str, ...] = OF_A_PAGE
) -> Page:
    """A page of the customer's payments that the caller may see, as the caller sees them, for both routes.

    Raises Problem 400 naming the invalid parameters.
    """
    asked = parse_query(request.query, parameters, searchable=services.searchable.key)
    _check_cursor(asked, of_batch=False)
    payer = request.caller.roles <= {Role.CUSTOMER}
    where = replace(
        asked.where,
        status=None if payer else asked.where.status,  # as the payer sees it: see _for_payers
        customer_id=customer.customer_id,
        metadata_hash=services.searchable.hash_of_value(asked.metadata) if asked.metadata else "",
        submitted_by=_submitter(request.caller, customer),
    )
    page = services.listing.of_customer(
        customer.customer_id,
        where=where,
        since=asked.since,
        until=asked.until,
        limit=asked.limit,
        after=asked.after,
    )
    return _for_payers(page, asked.where.status) if payer else page


def _page_of_all(request: Request, services: Services, asked: Asked) -> Page:
    """The page from the index that narrows most. Raises Problem."""
    where, listing = asked.where, services.listing
    if asked.metadata:
        where = replace(where, metadata_hash=services.searchable.hash_of_value(asked.metadata))
    if asked.gateway_reference:
        return _of_reference(asked.gateway_reference, where, services)
    _check_cursor(asked, of_batch=bool(where.batch_id and not where.customer_id and not asked.metadata))
    times: Any = {"since": asked.since, "until": asked.until, "limit": asked.limit, "after": asked.after}
    if asked.metadata:
        return listing.of_metadata(where.metadata_hash, where=where, **times)
    if where.customer_id:
        return listing.of_customer(where.customer_id, where=where, **times)
    if where.batch_id:
        if asked.since or asked.until:
            raise refused([FieldError("batch_id", "the list of a batch has no times; leave out day, from and to")])
        return listing.of_batch(where.batch_id, where=where, limit=asked.limit, after=asked.after)
    dear = [name for name in ("currency", "amount") if getattr(where, name)]
    if dear and not asked.is_one_day:
        raise refused([FieldError(name, _ADD) for name in dear])
    tomorrow = request.at.replace(hour=0, minute=0, second=0, microsecond=0) + DAY
    until = min(asked.until or tomorrow, tomorrow)
    since = asked.since or until - DEFAULT_SPAN
    if since >= until:
        return Page([])
    return listing.all(where=where, since=since, until=until, limit=asked.limit, after=asked.after)


def _of_reference(reference: str, where: Where, services: Services) -> Page:
    """The payment that a charge names in its metadata at the gateway: no index of ours holds references."""

    def ids() -> tuple[str, str]:
        try:
            return services.references.ids_of(reference)
        except OutcomeUnknown as error:
            if error.code == CHARGE_NOT_FOUND:
                return "", ""
            raise

    payment_id, environment_id = at_gateway(ids)
    # charges of older code carry no environment id
    ours = payment_id and environment_id in ("", services.environment_id)
    row = services.payments.get(payment_id) if ours else None
    return Page([row] if row and where.admits(row) else [], examined=1 if row else 0)


def _check_cursor(asked: Asked, *, of_batch: bool) -> None:
    if asked.after and (asked.after.line is not None) is not of_batch:
        raise refused([FieldError("cursor", "it is one of another list; give the next_cursor of the previous page")])


def page_view(page: Page, path: str, query: Mapping[str, str]) -> dict[str, Any]:
    """A page as the API shows it. `path` and `query` are those of the request."""
    view: dict[str, Any] = {
        "payments": [payment_summary(payment) for payment in page.payments],
        "examined": page.examined,
    }
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
        "code": payment.code,
        "created_at": payment.created_at,
        "updated_at": payment.updated_at,
    }
    return {name: value for name, value in summary.items() if value != ""} | {
        "links": {"self": link_to(payment.payment_id)}
    }


def _for_payers(page: Page, status: Status | None) -> Page:
    """The page as a payer sees it, of one status if it is given. No index holds what a payer sees: it may be short."""
    shown = map(as_payers_see_it, page.payments)
    return replace(page, payments=[payment for payment in shown if status in (None, payment.status)])


def _submitter(caller: Caller, customer: Customer) -> str:
    """The submitter to filter by: a merchant sees only its own payments; staff and the customer see all of them."""
    is_the_customer = caller.has(Role.CUSTOMER) and caller.subject == customer.subject
    return "" if caller.sees_all or is_the_customer else caller.subject


def _link(path: str, query: Mapping[str, str]) -> str:
    return f"{path}?{urlencode(query)}" if query else path
