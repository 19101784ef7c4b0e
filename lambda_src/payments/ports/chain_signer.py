"""Signatures of the heads of audit chains, and of anchors."""

from typing import Protocol


class ChainSigner(Protocol):
    """A keyed MAC. The key never leaves KMS; the right to sign and the right to verify are two."""

    def sign(self, text: str) -> str:
        """The MAC of a text of at most 4,096 bytes. Raises EncryptionUnavailable."""

    def verifies(self, text: str, mac: str) -> bool:
        """Whether the MAC is the one of the text. Raises EncryptionUnavailable."""
