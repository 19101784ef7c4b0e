"""Tokens over REST: create one for a customer's payment method, read its status, revoke it."""

import re
from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal
from typing import Any, NamedTuple

from payments.domain.card_data import card_data_in
from payments.domain.clock import iso
from payments.domain.ownership import owns
from payments.domain.payment import CUSTOMER_ID, NO_CARD_DATA, PAYMENT_METHOD, FieldError, parse_metadata, unread_fields
from payments.domain.token import DEFAULT_SECONDS, MAX_SECONDS, MIN_SECONDS, Token, token_id_of
from payments.rest.denied_access import record_denied
from payments.rest.http import Problem, answer, no_content
from payments.rest.owners import find_customer, require_own_customer
from payments.rest.request import Request
from payments.rest.services import Services

FIELDS = ("customer_id", "payment_method", "metadata", "expires_in_seconds")
REQUIRED_FIELDS = FIELDS[:2]
_TOKEN_ID = re.compile(r"[0-9a-f]{64}", re.ASCII)
_METADATA = "metadata."


class TokenRequest(NamedTuple):
    """A client's request for a token, validated."""

    customer_id: str
    payment_method: str
    metadata: dict[str, str]
    lives: timedelta


def create_token(request: Request, services: Services) -> dict[str, Any]:
    """POST /tokens: 201 with the token, which is shown only here, its `token_id`, its customer and when it expires.

    Raises Problem 400 naming the invalid fields, and 404 if the caller has no such customer.
    """
    asked = parse_token_request(request.json())
    customer = require_own_customer(request, services, asked.customer_id)
    metadata = {f"{_METADATA}{key}": value for key, value in asked.metadata.items()}
    sealed = services.encryptor.seal(customer.context, {"payment_method": asked.payment_method, **metadata})
    plain = services.new_token()
    token = Token(
        token_id_of(plain),
        asked.customer_id,
        sealed["payment_method"],
        {key: sealed[f"{_METADATA}{key}"] for key in asked.metadata},
        created_at=iso(request.at),
        expires_at=iso(request.at + asked.lives),
        created_by=request.caller.subject,
    )
    services.tokens.create(token)
    try:
        require_own_customer(request, services, asked.customer_id)
    except Problem:  # the customer was erased at this moment, possibly before the new token was visible
        services.tokens.revoke(token.token_id, request.at)
        raise
    link = link_to(token.token_id)
    shown = {"token": plain, "token_id": token.token_id, "customer_id": token.customer_id}
    return answer(201, shown | {"expires_at": token.expires_at, "links": {"self": link}}, {"Location": link})


def get_token(request: Request, services: Services) -> dict[str, Any]:
    """GET /tokens/{token_id}: 200 with status, customer, metadata and times, without the token itself.

    Raises Problem 404 if the caller has no such token, or if it was revoked.
    """
    token = _own_token(request, services)
    if token.revoked_at:
        raise Problem(
            404, "not-found", f"the token was revoked at {token.revoked_at}; create a new one with POST /tokens"
        )
    sealed = {f"{_METADATA}{key}": value for key, value in token.metadata.items()}
    opened = services.encryptor.open({"customer_id": token.customer_id}, sealed)
    view = {
        "token_id": token.token_id,
        "customer_id": token.customer_id,
        "status": token.status(request.at).value,
        "metadata": {key.removeprefix(_METADATA): value for key, value in opened.items()},
        "created_at": token.created_at,
        "expires_at": token.expires_at,
        "links": {"self": link_to(token.token_id)},
    }
    return answer(200, {name: value for name, value in view.items() if value})


def revoke_token(request: Request, services: Services) -> dict[str, Any]:
    """DELETE /tokens/{token_id}: 204, also for a token that was already revoked.

    Raises Problem 404 if the caller has no such token.
    """
    services.tokens.revoke(_own_token(request, services).token_id, request.at)
    return no_content()


def link_to(token_id: str) -> str:
    """The link to a token, relative to the API's base address."""
    return f"/tokens/{token_id}"


def parse_token_request(body: Mapping[str, Any]) -> TokenRequest:
    """Validate a request for a token. Raises Problem 400 naming all invalid fields, without their values."""
    errors: list[FieldError] = []

    def refuse(name: str, message: str) -> None:
        errors.append(FieldError(name, message))

    clean = {}
    unread = unread_fields(body)
    for name, value in body.items():
        field = name if re.fullmatch(r"[a-z_]{1,40}", name) else "field"
        if name in unread:
            refuse(field, unread[name])
        elif looks := card_data_in({name: value}):
            refuse(field, f"it looks like {looks}; {NO_CARD_DATA}")
        elif name in FIELDS:
            clean[name] = value
        else:
            refuse(field, f"unknown field; allowed: {', '.join(FIELDS)}")

    def text(name: str, pattern: re.Pattern[str], allowed: str) -> str:
        value = clean.get(name)
        if isinstance(value, str) and pattern.fullmatch(value):
            return value
        if name in clean or name not in body:
            refuse(name, f"{'missing' if name not in body else 'invalid value given'}; required: {allowed}")
        return ""

    customer_id = text("customer_id", CUSTOMER_ID, "the customer that the token is bound to")
    payment_method = text("payment_method", PAYMENT_METHOD, "a payment method of the gateway such as pm_1AbC")
    metadata = parse_metadata(clean.get("metadata", {}), refuse)
    seconds = clean.get("expires_in_seconds", DEFAULT_SECONDS)
    if not (_is_number(seconds) and MIN_SECONDS <= seconds <= MAX_SECONDS and seconds % 1 == 0):
        refuse("expires_in_seconds", f"not a lifetime; give {MIN_SECONDS} to {MAX_SECONDS} whole seconds")
    if errors:
        raise Problem(
            400,
            "invalid-request",
            "some fields are invalid, nothing was stored; correct them and send it again",
            errors,
        )
    return TokenRequest(customer_id, payment_method, metadata, timedelta(seconds=int(seconds)))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | Decimal) and not isinstance(value, bool)


def _own_token(request: Request, services: Services) -> Token:
    """The caller's token. Raises Problem 404 with the same text if it is unknown or belongs to another caller."""
    token_id = request.path["token_id"]
    token = services.tokens.get(token_id) if _TOKEN_ID.fullmatch(token_id) else None
    if token:
        customer = find_customer(services, token.customer_id)
        if customer and owns(request.caller, customer):
            return token
        record_denied(services.access_log, request, "token", token_id)
    elif _TOKEN_ID.fullmatch(token_id):  # the same work as for another's token
        services.customers.get(token_id)
        services.limiter.count_missing(request)
    raise Problem(404, "not-found", "no token has this token_id; check it, or create one with POST /tokens")
