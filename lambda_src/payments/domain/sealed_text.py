"""Encrypted ("sealed") texts of stored fields. The encryption key never leaves KMS.

A sealed text is an ordinary string with its own prefix. Code that does not need the plain text passes it on unchanged;
code that needs it decrypts it first.
"""

import unicodedata
from collections.abc import Callable, Mapping

PREFIX = "sealed.v1."
"""The prefix of a sealed text. Every input that begins with it is rejected."""

Context = Mapping[str, str]
"""The owner of the field, {"payment_id": "pay_1"}: KMS's encryption context. A text sealed in one context opens in no
other."""

Seal = Callable[[Mapping[str, str]], dict[str, str]]
"""Seals values by field name. Empty and sealed values are returned unchanged."""


def is_sealed(text: str) -> bool:
    """True for a text that a field encryptor made."""
    return text.startswith(PREFIX)


def needs_sealing(values: Mapping[str, str]) -> bool:
    """True if a value is plain text."""
    return any(text and not is_sealed(text) for text in values.values())


def one_spelling(email: str) -> str:
    """An address in the form that all its spellings share: no surrounding blanks, lower case, NFC."""
    return unicodedata.normalize("NFC", email.strip().casefold())
