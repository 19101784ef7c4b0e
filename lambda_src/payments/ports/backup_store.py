"""The objects of backups."""

from collections.abc import Sequence
from typing import Protocol


class NoSuchObject(LookupError):
    """There is no object of this key."""


class BackupStore(Protocol):
    """Stores the objects of backups. None is ever deleted: the bucket's lifecycle ends them."""

    def put(self, key: str, content: bytes) -> None:
        """Store an object. A second one of the same key is another version."""

    def get(self, key: str) -> bytes:
        """The newest version of an object. Raises NoSuchObject."""

    def timestamps(self) -> Sequence[str]:
        """The names of all backups, oldest first, complete or not."""
