"""Encrypted ("sealed") texts of stored fields. The encryption key never leaves KMS.

A sealed text is an ordinary string with its own prefix. Code that does not need the plain text passes it on unchanged;
code that needs it decrypts it first.
"""

import re
import unicodedata
from collections.abc import Callable, Mapping

PREFIX = "sealed.v1."
"""The prefix of a sealed text. Every input that begins with it is rejected."""

REFERENCE = "gateway_reference"
_CLEAR_REFERENCE = re.compile(r"(?:pi|ch|py|re|pyr|dp|du)_[A-Za-z0-9]+", re.ASCII)
"""Stripe's ids of payment intents, charges, refunds and disputes, which open nothing without our key. A client secret
contains its intent's id, `pi_…_secret_…`, and does not match."""

Context = Mapping[str, str]
"""The owner of the field, {"payment_id": "pay_1"}: KMS's encryption context. A text sealed in one context opens in no
other."""

Seal = Callable[[Mapping[str, str]], dict[str, str]]
"""Seals values by field name. Empty and sealed values are returned unchanged."""


def is_sealed(text: str) -> bool:
    """True for a text that a field encryptor made."""
    return text.startswith(PREFIX)


def is_to_seal(field: str, text: str) -> bool:
    """True for a plain text that may only be stored sealed. The one exception is a gateway reference that is a plain id
    of a charge: a report of a million rows could not ask KMS for each. Rows from before still hold it sealed."""
    return bool(text) and not is_sealed(text) and not (field == REFERENCE and _CLEAR_REFERENCE.fullmatch(text))


def needs_sealing(values: Mapping[str, str]) -> bool:
    """True if a value, by its field's name, may only be stored sealed, and is not."""
    return any(is_to_seal(field, text) for field, text in values.items())


def one_spelling(email: str) -> str:
    """An address in the form that all its spellings share: no surrounding blanks, lower case, NFC."""
    return unicodedata.normalize("NFC", email.strip().casefold())
