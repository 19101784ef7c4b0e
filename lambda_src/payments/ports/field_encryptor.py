"""Encryption of single fields under a key that never leaves KMS."""

from collections.abc import Mapping
from typing import Protocol

from payments.domain.sealed_text import Context


class EncryptionUnavailable(Exception):
    """The key cannot be used now: disabled, out of reach, or not allowed. Nothing was sealed or opened."""


class DecryptionFailed(Exception):
    """A sealed text that does not belong here: another row's or field's, or changed."""


class FieldEncryptor(Protocol):
    """Seals and opens fields by name."""

    def seal(self, context: Context, values: Mapping[str, str]) -> dict[str, str]:
        """The values sealed, under one data key for all of them; empty and sealed ones come back as they are.

        Raises EncryptionUnavailable.
        """

    def open(self, context: Context, values: Mapping[str, str]) -> dict[str, str]:
        """The values in plain text; those that are not sealed come back as they are.

        Raises EncryptionUnavailable, and DecryptionFailed naming the field.
        """
