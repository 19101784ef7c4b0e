"""The port to the tokens. Adapters: `tokens_dynamodb.py` (real) and `tokens_memory.py` (its twin)."""

from datetime import datetime
from typing import Protocol

from payments.domain.token import Token


class TokenExists(Exception):
    """A token with this token_id is stored already: the randomness is broken, as 256 bits never meet twice."""


class TokenStore(Protocol):
    """The tokens table."""

    def create(self, token: Token) -> None:
        """Store a new token. Raises TokenExists, and nothing is overwritten."""

    def get(self, token_id: str) -> Token | None:
        """The token as it stands. Strongly consistent: what was revoked is revoked in the next call."""

    def revoke(self, token_id: str, at: datetime) -> None:
        """End a token and drop what it stands for. The first time counts; nothing happens to one that is not there."""

    def revoke_all_of(self, customer_id: str, at: datetime) -> None:
        """Revoke all tokens of a customer. Finds them eventually consistently: one that was made this very moment
        may be missed, so whoever makes a token looks at its customer once more afterwards."""
