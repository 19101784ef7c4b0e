"""Storage of tokens."""

from datetime import datetime
from typing import Protocol

from payments.domain.token import Token


class TokenExists(Exception):
    """A token with this token_id is already stored. 256 random bits never repeat: the random generator is broken."""


class TokenStore(Protocol):
    """The tokens table."""

    def create(self, token: Token) -> None:
        """Store a new token. Raises TokenExists; nothing is overwritten."""

    def get(self, token_id: str) -> Token | None:
        """The current token, or None. Strongly consistent: a revocation is visible to the next call."""

    def revoke(self, token_id: str, at: datetime) -> None:
        """Revoke a token and delete its payment method and metadata. Repeats and unknown tokens have no effect."""

    def revoke_all_of(self, customer_id: str, at: datetime) -> None:
        """Revoke all tokens of a customer. Eventually consistent: a token created at the same time may be missed. After
        creating a token, the caller must therefore check its customer again."""
