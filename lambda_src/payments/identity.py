"""Who is asking: a caller with roles, from a verified token's claims."""

from dataclasses import dataclass
from enum import StrEnum


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
