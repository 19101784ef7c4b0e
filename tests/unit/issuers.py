"""Issuers of tokens for tests: keys, the JSON that publishes them, and valid and invalid tokens."""

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from datetime import timedelta
from functools import cache
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from payments.adapters.oidc.signing_keys import KeysUnavailable
from tests.unit.builders import NOON

POOL = "https://cognito-idp.us-east-1.amazonaws.com/us-east-1_Pool"
OTHER = "https://login.example.com/"
PEOPLE, SHOP, OPERATIONS = "people-client", "shop-client", "operations-client"
AUDIENCE = "payments"
PREFIX = "pay-"
"""What stands before a role in the groups of the other issuer."""
SUBJECT = "0b6f1c9e-people"


@cache
def rsa_key(name: str = "pool", bits: int = 2048) -> rsa.RSAPrivateKey:
    """A key of this name, the same one each time."""
    return rsa.generate_private_key(public_exponent=65537, key_size=bits)


@cache
def ec_key(name: str = "pool") -> ec.EllipticCurvePrivateKey:
    """A P-256 key of this name, the same one each time."""
    return ec.generate_private_key(ec.SECP256R1())


def jwk(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey, kid: str, **more: str) -> dict[str, Any]:
    """A public key as an issuer publishes it."""
    if isinstance(key, rsa.RSAPrivateKey):
        public = RSAAlgorithm.to_jwk(key.public_key(), as_dict=True)
    else:
        public = ECAlgorithm.to_jwk(key.public_key(), as_dict=True)
    return {name: value for name, value in public.items() if name != "key_ops"} | {"kid": kid, "use": "sig"} | more


def user(*groups: str, **more: Any) -> dict[str, Any]:
    """The claims of an access token that the pool gives a user. A claim of None is left out."""
    claims = {
        "iss": POOL,
        "sub": SUBJECT,
        "token_use": "access",
        "client_id": PEOPLE,
        "username": SUBJECT,
        "scope": "aws.cognito.signin.user.admin",
        **({"cognito:groups": list(groups)} if groups else {}),
    }
    return _timed(claims | more)


def machine(client_id: str, *scopes: str, **more: Any) -> dict[str, Any]:
    """The claims of an access token that the pool gives a machine."""
    claims = {"iss": POOL, "sub": client_id, "token_use": "access", "client_id": client_id, "scope": " ".join(scopes)}
    return _timed(claims | more)


def elsewhere(*roles: str, **more: Any) -> dict[str, Any]:
    """The claims of an access token of another OpenID Connect issuer."""
    groups = [f"{PREFIX}{role}" for role in roles]
    return _timed({"iss": OTHER, "sub": "anna", "aud": AUDIENCE, "groups": groups} | more)


def _timed(claims: dict[str, Any]) -> dict[str, Any]:
    issued = int(NOON.timestamp())
    lasting = claims if "exp" in claims else claims | {"exp": int((NOON + timedelta(hours=1)).timestamp())}
    return {name: value for name, value in ({"iat": issued} | lasting).items() if value is not None}


def signed(
    claims: Mapping[str, Any], key: Any = None, *, kid: str | None = "pool-1", alg: str = "RS256", **headers: Any
) -> str:
    """A token over claims, signed with the pool's key unless another one is given."""
    named = {"kid": kid} if kid else {}
    return jwt.encode(dict(claims), key or rsa_key(), algorithm=alg, headers=named | headers)


def unsigned(claims: Mapping[str, Any], **header: Any) -> str:
    """A token without a signature, `alg` none unless the header says otherwise."""
    return ".".join((_part({"alg": "none", "kid": "pool-1", **header}), _part(claims), ""))


def with_public_key_as_secret(claims: Mapping[str, Any]) -> str:
    """A token signed with HS256, with the pool's public key as the shared secret."""
    public = rsa_key().public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    text = f"{_part({'alg': 'HS256', 'kid': 'pool-1'})}.{_part(claims)}"
    return f"{text}.{_base64(hmac.digest(public, text.encode(), hashlib.sha256))}"


def _part(content: Mapping[str, Any]) -> str:
    return _base64(json.dumps(content).encode())


def _base64(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


class Web:
    """The content of addresses, and the number of reads of each. Other addresses are unreachable."""

    def __init__(self, pages: Mapping[str, Any]) -> None:
        self.pages = dict(pages)
        self.reads: list[str] = []

    def read(self, url: str) -> Any:
        """Record the address and return its page. Raises KeysUnavailable for an address without one."""
        self.reads.append(url)
        if url not in self.pages:
            raise KeysUnavailable(f"{url} gave no keys: timed out")
        return self.pages[url]


POOL_KEYS = f"{POOL}/.well-known/jwks.json"
OTHER_KEYS = "https://keys.example.com/all"


def usual_web() -> Web:
    """Both issuers with their keys."""
    return Web(
        {
            POOL_KEYS: {"keys": [jwk(rsa_key(), "pool-1", alg="RS256")]},
            f"{OTHER}.well-known/openid-configuration": {"issuer": OTHER, "jwks_uri": OTHER_KEYS},
            OTHER_KEYS: {"keys": [jwk(rsa_key("other"), "other-1"), jwk(ec_key(), "other-ec")]},
        }
    )
