"""Verify bearer tokens: signed by a trusted issuer, issued for us, and valid now."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import jwt

from payments.adapters.oidc.signing_keys import SigningKeys
from payments.domain.clock import Clock
from payments.domain.identity import STAFF, Caller, Role

if TYPE_CHECKING:
    from jwt.types import Options


LEEWAY = timedelta(seconds=30)
"""How far another clock may be ahead of or behind ours."""
ALGORITHMS = {"RSA": ("RS256", "PS256"), "EC": ("ES256",)}
"""Kind of key → allowed signature algorithms. No algorithm with a shared secret: a public key is not secret."""
MAX_SUBJECT = 255
"""The maximum length of a `sub` in OpenID Connect."""
_ONLY_THE_SIGNATURE: "Options" = {
    "enforce_minimum_key_length": True,
    # checked in this module, with our clock and each issuer's rules
    "verify_exp": False,
    "verify_nbf": False,
    "verify_iat": False,
    "verify_aud": False,
    "verify_sub": False,
}
_ALL_ALGORITHMS = frozenset(name for names in ALGORITHMS.values() for name in names)

_UNREADABLE = (jwt.PyJWTError, ValueError, TypeError, AttributeError, ArithmeticError, RecursionError)
"""What the library raises for a token that it cannot read. Everything in a token is chosen by its sender."""

Claims = Mapping[str, Any]


class BadToken(Exception):
    """An invalid token. The text says why, without any content of the token."""


@dataclass(frozen=True, slots=True)
class Bearer:
    """The caller of a valid token, and its expiry time."""

    caller: Caller
    expires_at: datetime


@dataclass(frozen=True)
class UserPool:
    """Our Cognito user pool. Its access tokens have no audience; they name the app client that they were issued to.

    People have the roles of their groups, machines those of their scopes: `<scope_prefix>merchant`.
    """

    issuer: str
    keys: SigningKeys
    client_ids: frozenset[str]
    scope_prefix: str

    def caller(self, claims: Claims) -> Caller:
        """The caller of verified claims. Raises BadToken if the token is not for us."""
        if claims.get("token_use") != "access":
            raise BadToken("it is not an access token")
        client_id = claims.get("client_id")
        if not isinstance(client_id, str) or client_id not in self.client_ids:
            raise BadToken("it was issued to an unknown app client")
        if "username" in claims:
            roles = _roles(claims.get("cognito:groups")) or {Role.CUSTOMER}
        else:
            scopes = str(claims.get("scope", "")).split()
            prefix = self.scope_prefix
            roles = _roles(scopes, prefix)
        return Caller(
            _subject(claims), frozenset(roles), issuer=self.issuer, username=_printable(claims.get("username"))
        )


@dataclass(frozen=True)
class OtherIssuer:
    """Another OpenID Connect issuer, whose tokens are for `audience` and name roles in `roles_claim`, each behind
    `roles_prefix`: a group `admin` there is one of another system.

    With `needs_second_factor`, the roles of staff count only in tokens whose `amr` (RFC 8176) says `mfa`.
    """

    issuer: str
    keys: SigningKeys
    audience: str
    roles_claim: str
    roles_prefix: str
    needs_second_factor: bool = False

    def caller(self, claims: Claims) -> Caller:
        """The caller of verified claims. Its subject has a prefix, so that it never equals one of the user pool.

        Raises BadToken if the token is not for us.
        """
        audience = claims.get("aud")
        if self.audience not in (audience if isinstance(audience, list) else [audience]):
            raise BadToken("it is for another audience")
        roles = _roles(claims.get(self.roles_claim), self.roles_prefix)
        if self.needs_second_factor and not _has_second_factor(claims):
            roles -= STAFF
        roles = roles or {Role.CUSTOMER}
        # some issuers write the claim as a text
        verified = claims.get("email_verified")
        email = claims.get("email") if verified is True or verified == "true" else ""  # 1 equals True and is not it
        return Caller(f"oidc|{_subject(claims)}", frozenset(roles), issuer=self.issuer, email=_printable(email))


TrustedIssuer = UserPool | OtherIssuer
"""The issuers of accepted tokens. Each one maps verified claims to a caller."""


def verified(token: str, issuers: Sequence[TrustedIssuer], *, clock: Clock) -> Bearer:
    """The caller of a token. Raises BadToken, and KeysUnavailable if the token cannot be verified now."""
    try:
        header = jwt.get_unverified_header(token)
        named = jwt.decode(token, options={"verify_signature": False}).get("iss")
    except _UNREADABLE:
        raise BadToken("it is not a JWT") from None
    issuer = next((trusted for trusted in issuers if trusted.issuer == named), None)
    if issuer is None:
        raise BadToken("its issuer is not trusted")
    claims = _signed(token, header, issuer.keys)
    expires_at = _in_force(claims, clock())
    return Bearer(issuer.caller(claims), expires_at)


def _signed(token: str, header: Mapping[str, Any], keys: SigningKeys) -> Claims:
    """The claims, if the signature was made with the named key."""
    algorithm, kid = header.get("alg"), header.get("kid")
    if not isinstance(algorithm, str) or algorithm not in _ALL_ALGORITHMS or not isinstance(kid, str):
        raise BadToken("it is not signed with RS256, PS256 or ES256 and a named key")
    key = keys.find(kid)
    if key is None:
        raise BadToken("its issuer has no such key")
    # the key decides on the algorithm, never the token: otherwise a public key could be used as a shared secret
    if algorithm not in ALGORITHMS.get(key.get("kty", ""), ()) or key.get("alg", algorithm) != algorithm:
        raise BadToken("its key does not fit the algorithm")
    if key.get("use", "sig") != "sig" or key.get("crv", "P-256") != "P-256":
        raise BadToken("its key is not for accepted signature algorithms")
    try:
        claims: Claims = jwt.decode(
            token,
            jwt.PyJWK(dict(key), algorithm),
            algorithms=[algorithm],
            options=_ONLY_THE_SIGNATURE,
        )
    except _UNREADABLE:
        raise BadToken("its signature does not match") from None
    return claims


def _in_force(claims: Claims, now: datetime) -> datetime:
    """The expiry time of a token that is valid now."""
    expires_at = _time(claims, "exp")
    if expires_at is None:
        raise BadToken("it has no expiry time")
    if expires_at <= now:
        raise BadToken("it has expired")
    for name in ("nbf", "iat"):
        begins_at = _time(claims, name)
        if begins_at is not None and begins_at > now + LEEWAY:
            raise BadToken("it is not valid yet")
    return expires_at


def _time(claims: Claims, name: str) -> datetime | None:
    seconds = claims.get(name)
    if seconds is None:
        return None
    if not isinstance(seconds, int | float) or isinstance(seconds, bool):  # fractions are valid (RFC 7519, section 2)
        raise BadToken(f"its {name} is not a time")
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        raise BadToken(f"its {name} is not a time") from None


def _subject(claims: Claims) -> str:
    subject = claims.get("sub")
    if not isinstance(subject, str) or not subject.isascii() or not subject.isprintable():
        raise BadToken("it has no valid subject")
    if not 0 < len(subject) <= MAX_SUBJECT:
        raise BadToken("it has no valid subject")
    return subject


def _has_second_factor(claims: Claims) -> bool:
    methods = claims.get("amr")
    return isinstance(methods, list) and "mfa" in methods


def _printable(text: object) -> str:
    """A claim that is passed on; "" if it is not a text that fits."""
    fits = isinstance(text, str) and text.isascii() and text.isprintable() and len(text) <= MAX_SUBJECT
    return str(text) if fits else ""


def _roles(names: object, prefix: str = "") -> set[Role]:
    """The roles among group names that begin with `prefix`. Other groups are ignored."""
    given = [names] if isinstance(names, str) else names
    return {role for role in Role if f"{prefix}{role}" in given} if isinstance(given, list) else set()
