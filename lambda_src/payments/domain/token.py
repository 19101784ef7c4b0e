"""Tokens: a client sends one instead of a payment method. Opaque, bound to a customer, expiring, revocable."""

import hashlib
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from payments.domain.clock import iso, parse_iso

TOKEN = re.compile(r"ptok_[A-Za-z0-9_-]{43}", re.ASCII)
MIN_SECONDS = 60
MAX_SECONDS = 31_536_000
"""One year: cards are renewed and customers leave."""
DEFAULT_SECONDS = 86_400
KEPT = timedelta(days=90)
"""How long an expired token can still be looked up, to explain why a payment with it was rejected."""
_TOKEN_BYTES = 32


class TokenStatus(StrEnum):
    """The status of a token."""

    ACTIVE = "active"
    EXPIRED = "expired"
    REVOKED = "revoked"
    """Final, also after the expiry time."""


@dataclass(frozen=True, slots=True)
class Token:
    """A token as stored, without its text. `payment_method` and the values of `metadata` are sealed in the customer's
    context. Times are ISO 8601 UTC. `created_by` is the subject of the caller who requested it.

    A revoked token has no payment method and no metadata.
    """

    token_id: str
    customer_id: str
    payment_method: str
    metadata: Mapping[str, str]
    created_at: str
    expires_at: str
    created_by: str
    revoked_at: str = ""

    @property
    def purge_at(self) -> int:
        """When the item is deleted, in epoch seconds."""
        return int((parse_iso(self.expires_at) + KEPT).timestamp())

    def status(self, at: datetime) -> TokenStatus:
        """The status at a time."""
        if self.revoked_at:
            return TokenStatus.REVOKED
        return TokenStatus.EXPIRED if iso(at) >= self.expires_at else TokenStatus.ACTIVE


def random_token() -> str:
    """A new token that cannot be guessed: 256 random bits in 43 characters."""
    return f"ptok_{secrets.token_urlsafe(_TOKEN_BYTES)}"


def token_id_of(token: str) -> str:
    """The key that a token is stored under: its SHA-256. The token cannot be recovered from a table, log or answer."""
    return hashlib.sha256(token.encode()).hexdigest()
