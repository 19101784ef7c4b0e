"""Fields that are stored sealed: a port to encryption under a key that never leaves KMS.

A sealed text is a text as well, with a beginning of its own, so that a row with sealed fields passes through code
that need not know them. What needs them opens them first.
"""

import unicodedata
from collections.abc import Callable, Mapping
from typing import Protocol

PREFIX = "sealed.v1."
"""How a sealed text begins. No entrance takes a value that begins so."""

Context = Mapping[str, str]
"""Whose field it is, {"payment_id": "pay_1"}: KMS's encryption context. What was sealed in one opens in no other."""

Seal = Callable[[Mapping[str, str]], dict[str, str]]
"""Seals values by field name; empty and sealed ones come back as they are."""


class VaultUnavailable(Exception):
    """The key cannot be used now: disabled, out of reach, or not allowed. Nothing was sealed or opened."""


class SealBroken(Exception):
    """A sealed text that does not belong here: another row's or field's, or changed."""


class Vault(Protocol):
    """Seals and opens fields by name."""

    def seal(self, context: Context, values: Mapping[str, str]) -> dict[str, str]:
        """The values sealed, under one data key for all of them; empty and sealed ones come back as they are.

        Raises VaultUnavailable.
        """

    def open(self, context: Context, values: Mapping[str, str]) -> dict[str, str]:
        """The values in plain text; those that are not sealed come back as they are.

        Raises VaultUnavailable, and SealBroken naming the field.
        """


class KeyVault(Vault, Protocol):
    """A vault that also hands out a data key, for as long as its holder works on one row."""

    def unlock(self, context: Context, values: Mapping[str, str]) -> tuple[dict[str, str], Seal]:
        """The values as `open` gives them, and a data key in hand: what it seals later needs nobody's leave any more.

        It is the key that the values are sealed with, or a new one. Raises what `open` raises.
        """


class EmailHasher(Protocol):
    """Makes an e-mail address findable without storing it."""

    def hash_of(self, email: str) -> str:
        """A keyed hash of the address, the same for every spelling of it. Raises VaultUnavailable."""


def is_sealed(text: str) -> bool:
    """True for what a vault made."""
    return text.startswith(PREFIX)


def needs_sealing(values: Mapping[str, str]) -> bool:
    """True if any of the values is plain text."""
    return any(text and not is_sealed(text) for text in values.values())


def one_spelling(email: str) -> str:
    """The spelling of an address that all its spellings share: no blanks around it, no capitals, NFC."""
    return unicodedata.normalize("NFC", email.strip().casefold())
