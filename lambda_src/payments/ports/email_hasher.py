"""A keyed hash to find an e-mail address without storing it."""

from typing import Protocol


class EmailHasher(Protocol):
    """Computes the hash that customers are searched by."""

    def hash_of(self, email: str) -> str:
        """A keyed hash of the address, equal for all its spellings. Raises EncryptionUnavailable."""
