"""The caller of a request and its roles, from a verified token's claims."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

REST, BATCH, PAYCTL, WORKFLOW = "rest", "batch", "payctl", "workflow"
"""The channels of a change."""


class Role(StrEnum):
    """What a caller may do. The values are groups of the user pool and scopes of machine clients."""

    ADMIN = "admin"
    """Makes refunds and manages the system; has all rights of the other roles."""
    OPERATOR = "operator"
    """Reads all data and handles disputes."""
    AUDITOR = "auditor"
    """Reads all data, and changes nothing."""
    MERCHANT = "merchant"
    """Submits payments and manages customers; sees what it submitted and created."""
    CUSTOMER = "customer"
    """Sees its own data."""


STAFF = frozenset({Role.ADMIN, Role.OPERATOR, Role.AUDITOR})
"""The roles that see the data of all callers. In production they need a second factor."""
READERS = frozenset({Role.OPERATOR, Role.AUDITOR})
"""The roles that see all data and change none."""


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
        return not self.roles.isdisjoint(STAFF)

    @property
    def is_only_a_person(self) -> bool:
        """True for callers who act for themselves alone: neither a merchant nor an admin."""
        return self.roles.isdisjoint({Role.ADMIN, Role.MERCHANT})

    def has(self, role: Role) -> bool:
        """True if the caller has the role."""
        return role in self.roles


def actor_of(caller: Caller) -> str:
    """The caller as the actor of a change: a role and the subject. Clients see only the role."""
    return f"{_role_of(caller)}:{caller.subject}"


def _role_of(caller: Caller) -> Role:
    """The role that lets a caller change a payment."""
    return next((role for role in (Role.ADMIN, Role.MERCHANT, Role.CUSTOMER) if caller.has(role)), Role.OPERATOR)


def submitter_of(caller: Caller) -> str:
    """The actor of a payment's first version over REST: the channel and the role. The row has the subject already."""
    return f"{REST}:{_role_of(caller)}"


@dataclass(frozen=True, slots=True)
class Who:
    """Who made a change, as the audit log says it; what does not apply is empty.

    `channel` is how the change came: `rest`, `batch` (an uploaded file), `payctl`, or `workflow` for a step of our own.
    `uploader` is the principal that uploaded the file.
    """

    subject: str = ""
    role: str = ""
    channel: str = ""
    uploader: str = ""


def who_of(actor: str, submitted_by: str) -> Who:
    """Who the actor of a change was. `submitted_by` is the subject of the caller who submitted the payment."""
    kind, _, rest = actor.partition(":")
    if kind == REST:
        return Who(submitted_by, rest, REST)
    if kind == BATCH:
        return Who(submitted_by, "", BATCH, rest)
    if kind == Role.OPERATOR:
        return Who(rest, kind, PAYCTL)  # no route lets an operator change a payment
    if kind in frozenset(Role):
        return Who(rest, kind, REST)
    return Who(channel=WORKFLOW)


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


class UsageGroup(StrEnum):
    """Callers whose calls count together. People who register cannot use up what staff and merchants may send."""

    STAFF = "staff"
    OTHER_MERCHANTS = "other-merchants"
    """Merchants without an app client of their own: users, and callers of another issuer."""
    PEOPLE = "people-and-others"


def usage_group_of(caller: Caller) -> UsageGroup:
    """The group that a caller without a usage plan of its own counts in."""
    if caller.sees_all:
        return UsageGroup.STAFF
    return UsageGroup.OTHER_MERCHANTS if caller.has(Role.MERCHANT) else UsageGroup.PEOPLE


def usage_key(suffix: str, merchant_client_id: str = "", group: UsageGroup = UsageGroup.PEOPLE) -> str:
    """The value of the API key that a request counts against: one for each merchant's app client and for each group.

    It is not a secret: API Gateway takes it only from the authorizer, never from the caller.
    """
    whose = f"merchant-{merchant_client_id}" if merchant_client_id else group
    return f"payment-api-{suffix}-{whose}"


def groups_without_second_factor(groups: Sequence[str]) -> list[str]:
    """The groups of the user pool that a user without a second factor keeps in their tokens."""
    return [group for group in groups if group not in STAFF]
