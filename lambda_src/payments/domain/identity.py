"""The caller of a request and its roles, from a verified token's claims."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any


class Role(StrEnum):
    """What a caller may do. The values are groups of the user pool and scopes of machine clients."""

    ADMIN = "admin"
    """Makes refunds and manages the system; has all rights of the other roles."""
    OPERATOR = "operator"
    """Reads all data and handles disputes."""
    MERCHANT = "merchant"
    """Submits payments and manages customers; sees what it submitted and created."""
    CUSTOMER = "customer"
    """Sees its own data."""


@dataclass(frozen=True, slots=True)
class Caller:
    """The holder of a valid token. `subject` is the token's `sub`: it never changes and is never reused.

    `issuer` is the token's `iss`. A person of the user pool has a `username` there; the `email` of a person of another
    issuer is the one that this issuer verified, or "".
    """

    subject: str
    roles: frozenset[Role]
    issuer: str = field(default="", compare=False)
    username: str = field(default="", compare=False)
    email: str = field(default="", compare=False, repr=False)

    @property
    def sees_all(self) -> bool:
        """True for callers who may see the data of all callers."""
        return not self.roles.isdisjoint({Role.ADMIN, Role.OPERATOR})

    @property
    def is_only_a_person(self) -> bool:
        """True for callers who act for themselves alone: neither a merchant nor an admin."""
        return self.roles.isdisjoint({Role.ADMIN, Role.MERCHANT})

    def has(self, role: Role) -> bool:
        """True if the caller has the role."""
        return role in self.roles


def actor_of(caller: Caller) -> str:
    """The caller as the actor of a change: a role and the subject. Clients see only the role."""
    by = next((role for role in (Role.ADMIN, Role.MERCHANT, Role.CUSTOMER) if caller.has(role)), Role.OPERATOR)
    return f"{by}:{caller.subject}"


EVERYBODY = Caller("everybody", frozenset({Role.ADMIN}))
"""Every caller where AUTH_MODE is `none`."""


_ABOUT = ("issuer", "username", "email")


class NotAuthenticated(Exception):
    """The request has no valid token, or the token has expired: 401. The text says what to do."""


def authorizer_context(caller: Caller, expires_at: datetime) -> dict[str, str]:
    """A caller as the authorizer passes it to the functions behind the API. API Gateway accepts only texts here."""
    about = {name: getattr(caller, name) for name in _ABOUT}
    return {name: text for name, text in about.items() if text} | {
        "subject": caller.subject,
        "roles": ",".join(sorted(caller.roles)),
        "expires_at": str(int(expires_at.timestamp())),
    }


def caller_of(authorizer: Mapping[str, Any], at: datetime) -> Caller:
    """The caller in a request's `requestContext.authorizer`, the inverse of `authorizer_context`.

    Raises NotAuthenticated if there is no authorizer result, or if the token has expired since. API Gateway caches
    the authorizer's result for a minute.
    """
    try:
        subject, roles = authorizer["subject"], authorizer["roles"]
        expires_at = datetime.fromtimestamp(int(authorizer["expires_at"]), UTC)
        about = {name: str(authorizer.get(name) or "") for name in _ABOUT}
        caller = Caller(subject, frozenset(Role(role) for role in roles.split(",") if role), **about)
    except (KeyError, ValueError, TypeError, AttributeError, OverflowError, OSError):
        raise NotAuthenticated("send a bearer token with the request") from None
    if expires_at <= at:
        raise NotAuthenticated("the token has expired; get a new one and send the same request again")
    return caller


def usage_key(suffix: str, merchant_client_id: str = "") -> str:
    """The value of the API key that a request counts against: one for each merchant's app client, one for all others.

    It is not a secret: API Gateway takes it only from the authorizer, never from the caller.
    """
    whose = f"merchant-{merchant_client_id}" if merchant_client_id else "people-and-others"
    return f"payment-api-{suffix}-{whose}"
