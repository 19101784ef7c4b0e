"""A keyed hash that finds an e-mail address without storing it."""

from typing import Protocol


class EmailHasher(Protocol):
    """Makes an e-mail address findable without storing it."""

    def hash_of(self, email: str) -> str:
        """A keyed hash of the address, the same for every spelling of it. Raises EncryptionUnavailable."""
