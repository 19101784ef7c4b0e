"""Encryption of single fields under a key that never leaves KMS."""

from collections.abc import Mapping
from typing import Protocol

from payments.domain.sealed_text import Context


class EncryptionUnavailable(Exception):
    """The key cannot be used now: it is disabled, unreachable or not allowed. Nothing was encrypted or decrypted."""


class DecryptionFailed(Exception):
    """An encrypted text that belongs to another row or field, or was changed."""


class FieldEncryptor(Protocol):
    """Encrypts ("seals") and decrypts ("opens") fields by name."""

    def seal(self, context: Context, values: Mapping[str, str]) -> dict[str, str]:
        """The values encrypted under one data key. Empty and encrypted values are returned unchanged.

        Raises EncryptionUnavailable.
        """

    def open(self, context: Context, values: Mapping[str, str]) -> dict[str, str]:
        """The values in plain text. Values that are not encrypted are returned unchanged.

        Raises EncryptionUnavailable, and DecryptionFailed naming the field.
        """
