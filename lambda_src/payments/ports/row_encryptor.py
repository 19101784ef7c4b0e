"""The port to field encryption for a step that works on one row."""

from collections.abc import Mapping
from typing import Protocol

from payments.domain.sealed_text import Context, Seal
from payments.ports.field_encryptor import FieldEncryptor


class RowEncryptor(FieldEncryptor, Protocol):
    """A field encryptor that also gives out a data key while the caller works on one row."""

    def unlock(self, context: Context, values: Mapping[str, str]) -> tuple[dict[str, str], Seal]:
        """Return the values as `open` does, and a function that seals later values without another call to KMS.

        The data key is the one that the values are sealed with, or a new one. Raises the errors of `open`.
        """
