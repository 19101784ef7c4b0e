"""Tokens: what a client sends instead of a payment method. Opaque, bound to a customer, expiring, revocable."""

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
"""A year: cards are renewed and customers leave."""
DEFAULT_SECONDS = 86_400
KEPT = timedelta(days=90)
"""How long after its end a token can still be looked up, to explain a payment that it was refused for."""
_TOKEN_BYTES = 32


class TokenStatus(StrEnum):
    """What a token is worth."""

    ACTIVE = "active"
    EXPIRED = "expired"
    REVOKED = "revoked"
    """For good, also once it would have expired."""


@dataclass(frozen=True, slots=True)
class Token:
    """A token as it is kept: without the token itself. `payment_method` and the values of `metadata` are sealed in
    the customer's context. Times are ISO 8601 UTC; `created_by` is the subject of the caller who had it made.

    Once it is revoked it has no payment method and no metadata.
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
        """When it is dropped altogether, in epoch seconds."""
        return int((parse_iso(self.expires_at) + KEPT).timestamp())

    def status(self, at: datetime) -> TokenStatus:
        """What it is worth at a time."""
        if self.revoked_at:
            return TokenStatus.REVOKED
        return TokenStatus.EXPIRED if iso(at) >= self.expires_at else TokenStatus.ACTIVE


def random_token() -> str:
    """A token that nobody can guess: 256 random bits in 43 characters."""
    return f"ptok_{secrets.token_urlsafe(_TOKEN_BYTES)}"


def token_id_of(token: str) -> str:
    """The name that a token is kept under: SHA-256. Whoever reads the table, a log or an answer gets no token by it."""
    return hashlib.sha256(token.encode()).hexdigest()
