"""The objects of anchors."""

from typing import Protocol


class AlreadyStored(Exception):
    """There is an object of this key already."""


class AnchorStore(Protocol):
    """Stores the objects of anchors, which cannot be deleted or replaced for a time. Reads raise NoSuchObject."""

    def put(self, key: str, content: bytes) -> None:
        """Store an object."""

    def add(self, key: str, content: bytes) -> None:
        """Store an object. Raises AlreadyStored if there is one of this key."""

    def get(self, key: str) -> bytes:
        """The newest version of an object. Raises NoSuchObject."""

    def rewritten(self) -> list[int]:
        """The numbers of the anchors that were stored twice, or deleted, also by their expiry."""

    def numbers(self) -> list[int]:
        """The numbers of the anchors after the first, complete or not, in their order."""
