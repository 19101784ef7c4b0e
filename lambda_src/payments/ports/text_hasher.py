"""A keyed hash to find a text without storing it."""

from typing import Protocol


class TextHasher(Protocol):
    """Computes the hash that payments are searched by."""

    def hash_of(self, text: str) -> str:
        """A keyed hash of a text of at most 4,096 bytes. Raises EncryptionUnavailable."""
