"""Customers over REST: create, show, change, erase, and find by e-mail address."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from payments.domain.customer import (
    Customer,
    CustomerRequest,
    changed,
    created,
    erased,
    is_email,
    parse_customer,
    parse_patch,
    parse_registration,
    parse_search,
    sealing_context,
)
from payments.domain.identity import Caller, Role
from payments.domain.listing import EVERYTHING, BadCursor, Cursor
from payments.domain.merchants import own_customer_id
from payments.domain.ownership import owns
from payments.domain.payment import FieldError, InvalidRequest
from payments.ports.customer_store import CustomerExists
from payments.ports.payment_store import VersionConflict
from payments.ports.user_directory import DirectoryUnavailable
from payments.rest.denied_access import record_denied
from payments.rest.gateway import RETRY_AFTER_SECONDS, at_gateway
from payments.rest.http import Problem, answer, no_content
from payments.rest.list_query import MAX_LIMIT
from payments.rest.owners import find_customer, require_own_customer
from payments.rest.request import Request
from payments.rest.services import Services

MOST_FOUND = 20
"""The most customers on a page of those with one e-mail address: each one costs a call to KMS."""
MOST_RETURNS = 10
"""How often a person may register again after an erasure. Each time costs the next registration a read."""
MOST_ERASED = 1_000
"""After how many payments an erasure ends, to be continued by the next call: a call has 20 seconds."""
TRIES = 5
"""How often a change is retried when other callers change the customer at the same time."""


def create_customer(request: Request, services: Services) -> dict[str, Any]:
    """POST /customers: 201 with the customer, or 200 and `Idempotent-Replayed` if the same one already exists.

    Raises Problem 400 naming the invalid fields, 403 for a person without a verified address, and 409 for an id that is
    taken.
    """
    if request.caller.is_only_a_person:
        return _register_oneself(request, services)
    asked = _parsed(parse_customer, request.json())
    customer, replayed = register(request, services, asked)
    headers = {"Location": link_to(customer.customer_id)}
    if replayed:
        return answer(200, customer_view(customer, asked.private), headers | {"Idempotent-Replayed": "true"})
    return answer(201, customer_view(customer, asked.private), headers)


def get_customer(request: Request, services: Services) -> dict[str, Any]:
    """GET /customers/{customer_id}: 200 with the customer in plain text. Raises Problem 404 if the caller has none."""
    customer = require_own_customer(request, services, request.path["customer_id"])
    return answer(200, _opened_view(customer, services))


def update_customer(request: Request, services: Services) -> dict[str, Any]:
    """PATCH /customers/{customer_id}: 200 with the changed customer.

    Raises Problem 400 naming the invalid fields, 404 if the caller has no such customer, and 409 if other callers
    change it at the same time.
    """
    changes = _parsed(parse_patch, request.json())
    if "email" in changes and request.caller.is_only_a_person:
        raise _refused([FieldError("email", "it is the address of your login; change it there, then register again")])
    customer = require_own_customer(request, services, request.path["customer_id"])
    stored = services.encryptor.seal(customer.context, changes)
    if "email" in changes:
        stored["email_hash"] = services.email_hasher.hash_of(changes["email"])
    for _ in range(TRIES):
        customer = changed(customer, stored, at=request.at)
        view = _opened_view(customer, services)  # decrypt before saving: without the key nothing changes
        try:
            services.customers.save(customer)
        except VersionConflict:
            # the new version may have other fields, another owner, or be erased
            customer = require_own_customer(request, services, customer.customer_id)
        else:
            return answer(200, view)
    raise overtaken()


def delete_customer(request: Request, services: Services) -> dict[str, Any]:
    """DELETE /customers/{customer_id}: erase the personal data and the gateway's customer, 204.

    A repeated call completes one that failed midway. Raises Problem 404 if the caller has no such customer, 409 if
    other callers change it at the same time, and 503 if the gateway does not answer, or if more of the
    customer's payments have an address than one call can change. Raises LedgerUnavailable.
    """
    customer_id = request.path["customer_id"]
    for _ in range(TRIES):
        customer = require_own_customer(request, services, customer_id, or_erased=True)
        services.erasures.add(customer_id, request.at)  # first: from here on no restore brings the customer back
        if not customer.erased_at:
            _erase_at_gateway(services, customer.gateway_customer)
            try:
                services.customers.save(erased(customer, at=request.at))
            except VersionConflict:
                continue
        # after the erasure, because from then on no new token can be created
        services.tokens.revoke_all_of(customer_id, request.at)
        _erase_addresses(services, customer_id)
        return no_content()
    raise overtaken()


def find_customers(request: Request, services: Services) -> dict[str, Any]:
    """GET /customers?email=…: 200 with a page of `customers`, oldest first, and `next_cursor` if there may be more.

    Raises Problem 400 for an invalid address or cursor.
    """
    email = _parsed(parse_search, {name: text for name, text in request.query.items() if name != "cursor"})
    cursor = request.query.get("cursor", "")
    try:
        after = Cursor.parse(cursor) if cursor else None
    except BadCursor:
        raise _refused([FieldError("cursor", "give the next_cursor of the previous page, or none")]) from None
    if after and not after.payment_id:
        raise _refused([FieldError("cursor", "it is one of another list; give the next_cursor of the previous page")])
    page = services.customers.find_by_email_hash(services.email_hasher.hash_of(email), MOST_FOUND, after)
    views = [_opened_view(customer, services) for customer in page.customers]
    following = {"next_cursor": str(page.next)} if page.next else {}
    return answer(200, {"customers": views, "complete": page.next is None} | following)


def _register_oneself(request: Request, services: Services) -> dict[str, Any]:
    """Create the one customer of the caller, a person, or answer with it.

    Its id follows from the token's issuer and subject, and its address is the one that the issuer verified: a repeated
    registration finds it, takes over a changed address, and changes nothing else.
    """
    given, caller = _parsed(parse_registration, request.json()), request.caller
    _subject(caller, given.pop("subject", ""))
    email = _verified_email(services, caller)
    for returns in range(MOST_RETURNS):
        customer_id = own_customer_id(caller.issuer, caller.subject, returns)
        existing = find_customer(services, customer_id)
        if existing is None:
            asked = CustomerRequest(customer_id, email, **given)
            try:
                existing, new = _create(request, services, asked, caller.subject), True
            except CustomerExists as taken:
                existing, new = taken.existing, False
        else:
            new = False
        if existing.erased_at:
            continue  # an id is never used again
        if not owns(caller, existing):
            raise _taken(request, services, customer_id)
        private = services.encryptor.open(existing.context, existing.private)
        if any(private[name] != text for name, text in given.items()):
            raise _conflict(f"you are registered as {customer_id} with other content; change it with PATCH")
        if private["email"] != email:
            existing, private = _with_email(services, existing, email, request.at), private | {"email": email}
        headers = {"Location": link_to(customer_id)} | ({} if new else {"Idempotent-Replayed": "true"})
        return answer(201 if new else 200, customer_view(existing, private), headers)
    raise _conflict("you were erased too often to register again")


def _verified_email(services: Services, caller: Caller) -> str:
    try:
        email = services.users.verified_email(caller)
    except DirectoryUnavailable:
        detail = "your login cannot be read now, and nothing was stored; send the same request again later"
        raise Problem(503, "unavailable", detail, retry_after_seconds=RETRY_AFTER_SECONDS) from None
    if not is_email(email):
        detail = "your login has no verified e-mail address; verify it, log in again, and send the same request"
        raise Problem(403, "forbidden", detail)
    return email


def _with_email(services: Services, customer: Customer, email: str, at: datetime) -> Customer:
    """The customer with another address. Raises Problem 409 if other callers change it at the same time."""
    sealed = services.encryptor.seal(customer.context, {"email": email})
    customer = changed(customer, sealed | {"email_hash": services.email_hasher.hash_of(email)}, at=at)
    try:
        services.customers.save(customer)
    except VersionConflict:
        raise overtaken() from None
    return customer


def register(request: Request, services: Services, asked: CustomerRequest) -> tuple[Customer, bool]:
    """Store a new customer. Returns its row, and whether the same customer already existed.

    Raises Problem 400 for an id that is reserved or a `subject` that the caller may not set, and 409 for an id that is
    taken.
    """
    if why := services.ids.refuses_new_customer(asked.customer_id, request.caller):
        raise _refused([FieldError("customer_id", f"{why}; use another id")])
    subject = _subject(request.caller, asked.subject)
    if subject and _has_payments(request, services, asked.customer_id):
        raise _taken(request, services, asked.customer_id)
    try:
        customer = _create(request, services, asked, subject)
    except CustomerExists as taken:
        existing = taken.existing
        if not owns(request.caller, existing):
            raise _taken(request, services, asked.customer_id) from None
        if existing.erased_at:
            raise _conflict("this customer_id was erased and is never reused; use another one") from None
        if services.encryptor.open(existing.context, existing.private) != asked.private or existing.subject != subject:
            raise _conflict("this customer exists with other content; change it with PATCH") from None
        return existing, True
    return customer, False


def _create(request: Request, services: Services, asked: CustomerRequest, subject: str) -> Customer:
    """Store a new customer. Raises CustomerExists."""
    customer = created(
        asked,
        services.encryptor.seal(sealing_context(asked.customer_id), asked.private),
        email_hash=services.email_hasher.hash_of(asked.email),
        subject=subject,
        created_by=request.caller.subject,
        at=request.at,
    )
    services.customers.create(customer)
    return customer


def customer_view(customer: Customer, private: Mapping[str, str]) -> dict[str, Any]:
    """A customer as the API shows it. `private` are its private fields in plain text. Empty fields are omitted."""
    view = {
        "customer_id": customer.customer_id,
        "email": private["email"],
        "name": private["name"],
        "default_payment_method": masked_method(private["default_payment_method"]),
        "created_at": customer.created_at,
        "updated_at": customer.updated_at,
    }
    link = link_to(customer.customer_id)
    return {name: value for name, value in view.items() if value} | {
        "links": {"self": link, "payments": f"{link}/payments"}
    }


def masked_method(method: str) -> str:
    """A payment method as the API shows it: its last four characters, and never the whole text of a short one."""
    return f"****{method[4:][-4:]}" if method else ""


def link_to(customer_id: str) -> str:
    """The link to a customer, relative to the API's base address."""
    return f"/customers/{customer_id}"


def overtaken() -> Problem:
    """The problem of a change that lost against other changes TRIES times."""
    return Problem(409, "conflict", "the customer changed at the same time, nothing was stored; send the request again")


def _erase_at_gateway(services: Services, gateway_customer: str) -> None:
    """Delete the gateway's customer before ours: while it is not deleted, our row still says which one it is."""
    if gateway_customer:
        at_gateway(lambda: services.saved_methods.delete_customer(gateway_customer))


def _erase_addresses(services: Services, customer_id: str) -> None:
    """Remove the addresses that the customer paid from. Raises Problem 503 if there are more than one call can do."""
    removed, after = 0, None
    while True:
        page = services.listing.of_customer(customer_id, where=EVERYTHING, limit=MAX_LIMIT, after=after)
        for payment in page.payments:
            if payment.client_ip or payment.card_counters:
                services.payments.forget_buyer(payment.payment_id)
                removed += 1
        if not page.next_cursor:
            return
        if removed >= MOST_ERASED:
            raise Problem(
                503,
                "unavailable",
                f"the customer is erased, and {removed} addresses of its payments; send the same request again",
                retry_after_seconds=1,
            )
        after = Cursor.parse(page.next_cursor)


def _opened_view(customer: Customer, services: Services) -> dict[str, Any]:
    return customer_view(customer, services.encryptor.open(customer.context, customer.private))


def _subject(caller: Caller, given: str) -> str:
    """The owner of a new customer: the caller, or the subject that a merchant or an admin gives."""
    if caller.has(Role.MERCHANT) or caller.has(Role.ADMIN):
        return given
    if given not in ("", caller.subject):
        error = FieldError("subject", "only a merchant or an admin may set the owner of a customer; leave it out")
        raise _refused([error])
    return caller.subject


def _has_payments(request: Request, services: Services, customer_id: str) -> bool:
    """Whether payments name this customer, which is not stored. A new owner of the id would see these payments."""
    if request.caller.has(Role.ADMIN) or find_customer(services, customer_id):
        return False
    return bool(services.listing.of_customer(customer_id, where=EVERYTHING, limit=1).payments)


def _parsed[T, B](parse: Callable[[B], T], given: B) -> T:
    try:
        return parse(given)
    except InvalidRequest as refused:
        raise _refused(refused.errors) from None


def _refused(errors: list[FieldError]) -> Problem:
    return Problem(
        400, "invalid-request", "some fields are invalid, nothing was changed; correct them and send it again", errors
    )


def _conflict(why: str) -> Problem:
    return Problem(409, "conflict", f"nothing was stored: {why}")


def _taken(request: Request, services: Services, customer_id: str) -> Problem:
    record_denied(services.access_log, request, "customer", customer_id)
    return _conflict("this customer_id is taken; use another one")
