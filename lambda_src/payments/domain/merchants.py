"""The merchants of an environment: their names, the subjects of their tokens, and the prefixes of their ids.

The ids of all callers are one space: an id over REST and in a file is one payment. A prefix keeps a part of it for one
merchant, so that no other caller can take its next id.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256

LEGACY = "v1_"
"""What the payment ids of the older route begin with. No request may choose such an id."""
OWN = "self_"
"""What the customer ids begin with that the service makes for people who register themselves."""
_DIGITS = 40
"""Hexadecimal digits of such an id: so many are recognized as a hash. Others may look like a card number."""


@dataclass(frozen=True, slots=True)
class Merchant:
    """A merchant of the setting MERCHANTS. `subject` is that of its app client's tokens. `prefix` may be empty."""

    name: str
    prefix: str = ""
    subject: str = ""


class Merchants:
    """The merchants by name and by subject."""

    def __init__(self, merchants: Iterable[Merchant] = ()) -> None:
        self._all = tuple(merchants)

    @classmethod
    def parse(cls, text: str) -> "Merchants":
        """The inverse of `str`."""
        parts = (part.split(":") for part in text.split(",") if part)
        return cls(Merchant(name, prefix, subject) for name, prefix, subject in parts)

    def __str__(self) -> str:
        """The merchants as the text of an environment variable: `shop:sh_:<subject>,partner::<subject>`."""
        return ",".join(f"{one.name}:{one.prefix}:{one.subject}" for one in self._all)

    def named(self, name: str) -> Merchant | None:
        """The merchant with this name, or None."""
        return next((one for one in self._all if one.name == name), None)

    def reserves(self, text: str, subject: str) -> str:
        """Why a caller with this subject may not use a new id, or "". Capitals make no other prefix.

        A caller that is no merchant of the setting, or one without a prefix, may use all ids but those of the others.
        """
        own = next((one for one in self._all if subject and one.subject == subject), Merchant(""))
        if own.prefix:
            return "" if text.startswith(own.prefix) else f"your ids begin with {own.prefix}"
        lower = text.lower()
        taken = next((one.prefix for one in self._all if one.prefix and lower.startswith(one.prefix.lower())), "")
        return f"ids that begin with {taken} are reserved" if taken else ""


def own_customer_id(issuer: str, subject: str, returns: int = 0) -> str:
    """The id of the customer that a person registers for themself. It depends on nothing that the person can choose.

    `returns` says how often the person was erased before: the id of an erased customer is never used again.
    """
    content = "\n".join((issuer, subject, *([str(returns)] if returns else [])))
    return f"{OWN}{sha256(content.encode()).hexdigest()[:_DIGITS]}"
