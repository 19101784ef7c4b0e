"""Fields that are stored sealed: a port to encryption under a key that never leaves KMS.

A sealed text is a text as well, with a beginning of its own, so that a row with sealed fields passes through code
that need not know them. What needs them opens them first.
"""

import unicodedata
from collections.abc import Callable, Mapping

PREFIX = "sealed.v1."
"""How a sealed text begins. No entrance takes a value that begins so."""

Context = Mapping[str, str]
"""Whose field it is, {"payment_id": "pay_1"}: KMS's encryption context. What was sealed in one opens in no other."""

Seal = Callable[[Mapping[str, str]], dict[str, str]]
"""Seals values by field name; empty and sealed ones come back as they are."""


def is_sealed(text: str) -> bool:
    """True for what a vault made."""
    return text.startswith(PREFIX)


def needs_sealing(values: Mapping[str, str]) -> bool:
    """True if any of the values is plain text."""
    return any(text and not is_sealed(text) for text in values.values())


def one_spelling(email: str) -> str:
    """The spelling of an address that all its spellings share: no blanks around it, no capitals, NFC."""
    return unicodedata.normalize("NFC", email.strip().casefold())
