"""Who is asking: a caller with roles, from a verified token's claims."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any


class Role(StrEnum):
    """What a caller may do; the values are the groups of the user pool and the scopes of machines."""

    ADMIN = "admin"
    """Refunds and manages; may do all that others may."""
    OPERATOR = "operator"
    """Reads everything, and handles disputes."""
    MERCHANT = "merchant"
    """Submits payments and keeps customers; sees what it submitted and created itself."""
    CUSTOMER = "customer"
    """Sees what is their own."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Somebody with a good token. `subject` is the token's `sub`: it never changes and is never given twice."""

    subject: str
    roles: frozenset[Role]

    @property
    def sees_all(self) -> bool:
        """True for those whom everybody's data is shown to."""
        return not self.roles.isdisjoint({Role.ADMIN, Role.OPERATOR})

    def has(self, role: Role) -> bool:
        """True if it is one of the caller's roles."""
        return role in self.roles


NOBODY = Caller("nobody", frozenset())
"""On routes that ask for no token."""
EVERYBODY = Caller("everybody", frozenset({Role.ADMIN}))
"""Whoever calls where AUTH_MODE is `none`."""


class NotAuthenticated(Exception):
    """Nobody with a good token is asking, or no longer: 401. The text says what to do."""


def authorizer_context(caller: Caller, expires_at: datetime) -> dict[str, str]:
    """A caller as the authorizer hands it to the functions behind the API: texts only, as API Gateway takes them."""
    return {
        "subject": caller.subject,
        "roles": ",".join(sorted(caller.roles)),
        "expires_at": str(int(expires_at.timestamp())),
    }


def caller_of(authorizer: Mapping[str, Any], at: datetime) -> Caller:
    """The caller in a request's `requestContext.authorizer`, the inverse of `authorizer_context`.

    Raises NotAuthenticated if the authorizer did not speak, or if its answer, which API Gateway remembers for a
    minute, has outlived the token.
    """
    try:
        subject, roles = authorizer["subject"], authorizer["roles"]
        expires_at = datetime.fromtimestamp(int(authorizer["expires_at"]), UTC)
        caller = Caller(subject, frozenset(Role(role) for role in roles.split(",") if role))
    except (KeyError, ValueError, TypeError, AttributeError):
        raise NotAuthenticated("send a bearer token with the request") from None
    if expires_at <= at:
        raise NotAuthenticated("the token has expired; get a new one and send the same request again")
    return caller


def usage_key(suffix: str, merchant_client_id: str = "") -> str:
    """The value of the API key that a request is counted under: one a merchant's app client, one for all others.

    Not a secret: API Gateway takes it from the authorizer alone, never from the caller.
    """
    whose = f"merchant-{merchant_client_id}" if merchant_client_id else "people-and-others"
    return f"payment-api-{suffix}-{whose}"
