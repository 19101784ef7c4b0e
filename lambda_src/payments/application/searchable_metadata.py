"""Search by one entry of the payments' metadata, which is stored encrypted: a keyed hash finds it."""

from collections.abc import Mapping
from dataclasses import dataclass

from payments.ports.text_hasher import TextHasher


@dataclass(frozen=True)
class SearchableMetadata:
    """The key of the metadata that a setting declares searchable; "" for none, which costs nothing."""

    key: str
    hasher: TextHasher

    def hash_of(self, metadata: Mapping[str, str]) -> str:
        """The hash to store with a payment; "" if its metadata has no such entry. Raises EncryptionUnavailable."""
        value = metadata.get(self.key) if self.key else None
        return self.hash_of_value(value) if value else ""

    def hash_of_value(self, value: str) -> str:
        """The hash that payments with this value have. No e-mail address has the same: none has a line break."""
        return self.hasher.hash_of(f"metadata\n{self.key}\n{value}")
