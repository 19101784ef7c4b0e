"""Is a bearer token good, and whose is it? Signed by an issuer that we trust, for us, and of now."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import jwt

from payments.adapters.oidc.signing_keys import SigningKeys
from payments.domain.clock import Clock
from payments.domain.identity import Caller, Role

if TYPE_CHECKING:
    from jwt.types import Options


LEEWAY = timedelta(seconds=30)
"""How far another clock may be ahead of ours."""
ALGORITHMS = {"RSA": ("RS256", "PS256"), "EC": ("ES256",)}
"""Kind of key → how it may have signed. No algorithm with a shared secret: a public key is no secret."""
MAX_SUBJECT = 255
"""What OpenID Connect allows of a `sub`."""
_ONLY_THE_SIGNATURE: "Options" = {
    "enforce_minimum_key_length": True,
    # checked here, by our own clock and each issuer's rules
    "verify_exp": False,
    "verify_nbf": False,
    "verify_iat": False,
    "verify_aud": False,
    "verify_sub": False,
}
_ALL_ALGORITHMS = frozenset(name for names in ALGORITHMS.values() for name in names)

Claims = Mapping[str, Any]


class BadToken(Exception):
    """A token that proves nothing. The text says why, and holds nothing of the token's content."""


@dataclass(frozen=True, slots=True)
class Bearer:
    """Who a good token speaks for, and until when."""

    caller: Caller
    expires_at: datetime


@dataclass(frozen=True)
class UserPool:
    """Our Cognito user pool. Its access tokens have no audience: they name the app client that they were given to.

    People have the roles of their groups, machines those of their scopes: `<scope_prefix>merchant`.
    """

    issuer: str
    keys: SigningKeys
    client_ids: frozenset[str]
    scope_prefix: str

    def caller(self, claims: Claims) -> Caller:
        """Whom verified claims speak for. Raises BadToken if the token is not for us."""
        if claims.get("token_use") != "access":
            raise BadToken("it is not an access token")
        if claims.get("client_id") not in self.client_ids:
            raise BadToken("it was given to an app client that is none of ours")
        if "username" in claims:
            roles = _roles(claims.get("cognito:groups")) or {Role.CUSTOMER}
        else:
            scopes = str(claims.get("scope", "")).split()
            prefix = self.scope_prefix
            roles = _roles([scope.removeprefix(prefix) for scope in scopes if scope.startswith(prefix)])
        return Caller(_subject(claims), frozenset(roles))


@dataclass(frozen=True)
class OtherIssuer:
    """Another OpenID Connect issuer, whose tokens are for `audience` and name roles in `roles_claim`."""

    issuer: str
    keys: SigningKeys
    audience: str
    roles_claim: str

    def caller(self, claims: Claims) -> Caller:
        """Whom verified claims speak for, marked, so that it can name nobody of the user pool.

        Raises BadToken if the token is not for us.
        """
        audience = claims.get("aud")
        if self.audience not in (audience if isinstance(audience, list) else [audience]):
            raise BadToken("it is for another audience")
        roles = _roles(claims.get(self.roles_claim)) or {Role.CUSTOMER}
        return Caller(f"oidc|{_subject(claims)}", frozenset(roles))


TrustedIssuer = UserPool | OtherIssuer
"""Who makes tokens that we take: each says whom its verified claims speak for."""


def verified(token: str, issuers: Sequence[TrustedIssuer], *, clock: Clock) -> Bearer:
    """Whom a token speaks for. Raises BadToken, and KeysUnavailable when that cannot be known now."""
    try:
        header = jwt.get_unverified_header(token)
        named = jwt.decode(token, options={"verify_signature": False}).get("iss")
    except (jwt.PyJWTError, ValueError, TypeError, RecursionError):
        raise BadToken("it is not a JWT") from None
    issuer = next((trusted for trusted in issuers if trusted.issuer == named), None)
    if issuer is None:
        raise BadToken("its issuer is not trusted")
    claims = _signed(token, header, issuer.keys)
    expires_at = _in_force(claims, clock())
    return Bearer(issuer.caller(claims), expires_at)


def _signed(token: str, header: Mapping[str, Any], keys: SigningKeys) -> Claims:
    """The claims, once the signature is the named key's."""
    algorithm, kid = header.get("alg"), header.get("kid")
    if algorithm not in _ALL_ALGORITHMS or not isinstance(kid, str):
        raise BadToken("it is not signed as we ask for: RS256, PS256 or ES256, by a named key")
    key = keys.find(kid)
    if key is None:
        raise BadToken("its issuer has no such key")
    # the key says how it signs, never the token: else a public key could be passed off as a shared secret
    if algorithm not in ALGORITHMS.get(key.get("kty", ""), ()) or key.get("alg", algorithm) != algorithm:
        raise BadToken("its key does not sign so")
    if key.get("use", "sig") != "sig" or key.get("crv", "P-256") != "P-256":
        raise BadToken("its key is not for signatures that we take")
    try:
        claims: Claims = jwt.decode(
            token,
            jwt.PyJWK(dict(key), algorithm),
            algorithms=[algorithm],
            options=_ONLY_THE_SIGNATURE,
        )
    except (jwt.PyJWTError, ValueError, TypeError):
        raise BadToken("its signature does not fit") from None
    return claims


def _in_force(claims: Claims, now: datetime) -> datetime:
    """When a token that is good now ends."""
    expires_at = _time(claims, "exp")
    if expires_at is None:
        raise BadToken("it says no end")
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
    if not isinstance(seconds, int) or isinstance(seconds, bool):
        raise BadToken(f"its {name} is not a time")
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        raise BadToken(f"its {name} is not a time") from None


def _subject(claims: Claims) -> str:
    subject = claims.get("sub")
    if not isinstance(subject, str) or not subject.isascii() or not subject.isprintable():
        raise BadToken("it says not whose it is")
    if not 0 < len(subject) <= MAX_SUBJECT:
        raise BadToken("it says not whose it is")
    return subject


def _roles(names: object) -> set[Role]:
    """The roles among group names; other groups are none of our business."""
    given = [names] if isinstance(names, str) else names
    return {role for role in Role if role in given} if isinstance(given, list) else set()
