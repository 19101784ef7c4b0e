"""The in-memory fake of the tokens table."""

from dataclasses import replace
from datetime import datetime

from payments.domain.clock import iso
from payments.domain.token import Token
from payments.ports.token_store import TokenExists


class MemoryTokenStore:
    """The tokens in a dict."""

    def __init__(self) -> None:
        self.rows: dict[str, Token] = {}

    def create(self, token: Token) -> None:
        """Store a new token. Raises TokenExists."""
        if token.token_id in self.rows:
            raise TokenExists(token.token_id)
        self.rows[token.token_id] = token

    def get(self, token_id: str) -> Token | None:
        """The current token, or None."""
        return self.rows.get(token_id)

    def revoke(self, token_id: str, at: datetime) -> None:
        """Revoke a token and drop its payment method and metadata. No effect on unknown or revoked tokens."""
        token = self.rows.get(token_id)
        if token and not token.revoked_at:
            self.rows[token_id] = replace(token, revoked_at=iso(at), payment_method="", metadata={})

    def revoke_all_of(self, customer_id: str, at: datetime) -> None:
        """Revoke all tokens of a customer."""
        for token in list(self.rows.values()):
            if token.customer_id == customer_id:
                self.revoke(token.token_id, at)
