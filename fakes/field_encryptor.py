"""The in-memory fake of the field encryptor. It passes the same contract suite as the real one."""

from collections.abc import Mapping
from itertools import count

from payments.domain.sealed_text import PREFIX, Context, Seal, is_sealed, is_to_seal, needs_sealing
from payments.ports.field_encryptor import DecryptionFailed, EncryptionUnavailable


class MemoryFieldEncryptor:
    """Keeps the texts in memory and returns numbers for them. `available` switches the key on and off. `calls` counts
    the requests that KMS would have received."""

    def __init__(self) -> None:
        self.available = True
        self.calls = 0
        self._numbers = count()
        self._texts: dict[str, tuple[dict[str, str], str, str]] = {}

    def seal(self, context: Context, values: Mapping[str, str]) -> dict[str, str]:
        """Replace plain values by sealed texts under one new data key. Raises EncryptionUnavailable."""
        return self._with_key(self._new_key(), context, values) if needs_sealing(values) else dict(values)

    def seal_every(self, context: Context, values: Mapping[str, str]) -> dict[str, str]:
        """Seal also the references that `seal` leaves clear, as code from before did."""
        return self._with_key(self._new_key(), context, values, every=True)

    def open(self, context: Context, values: Mapping[str, str]) -> dict[str, str]:
        """The plain values. Raises EncryptionUnavailable, and DecryptionFailed naming the field."""
        for _ in _keys(values):
            self._ask()
        return {
            field: self._opened(context, field, text) if is_sealed(text) else text for field, text in values.items()
        }

    def unlock(self, context: Context, values: Mapping[str, str]) -> tuple[dict[str, str], Seal]:
        """The plain values, and a function that seals later values without another call."""
        plain = self.open(context, values)
        key = next(iter(_keys(values)), None) or self._new_key()
        return plain, lambda more: self._with_key(key, context, more)

    def _ask(self) -> None:
        if not self.available:
            raise EncryptionUnavailable("the encryption key cannot be used: it is switched off")
        self.calls += 1

    def _new_key(self) -> str:
        self._ask()
        return f"k{self.calls}"

    def _with_key(
        self, key: str, context: Context, values: Mapping[str, str], *, every: bool = False
    ) -> dict[str, str]:
        sealed = dict(values)
        for field, text in values.items():
            if is_to_seal(field, text) or (every and text and not is_sealed(text)):
                sealed[field] = f"{PREFIX}{key}.{next(self._numbers)}"
                self._texts[sealed[field]] = (dict(context), field, text)
        return sealed

    def _opened(self, context: Context, field: str, sealed: str) -> str:
        *place, text = self._texts.get(sealed, ({}, "", ""))
        if place != [dict(context), field]:
            raise DecryptionFailed(f"{field}: this sealed text belongs to another row or field, or was changed")
        return str(text)


def _keys(values: Mapping[str, str]) -> dict[str, None]:
    """The data keys of all sealed values, each once, in their order."""
    return dict.fromkeys(text.removeprefix(PREFIX).partition(".")[0] for text in values.values() if is_sealed(text))
