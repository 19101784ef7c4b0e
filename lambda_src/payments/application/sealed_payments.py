"""The field encryptor applied to the private fields of a payment."""

from collections.abc import Mapping
from dataclasses import dataclass

from payments.domain.payment import Payment
from payments.domain.sealed_fields import context_of, private, rewritten, with_texts
from payments.domain.sealed_text import REFERENCE, Seal
from payments.ports.field_encryptor import FieldEncryptor
from payments.ports.row_encryptor import RowEncryptor


def opened(payment: Payment, encryptor: FieldEncryptor) -> Payment:
    """The payment in plain text. Needs at most one request to KMS for each data key: usually one, or none at all.

    Raises EncryptionUnavailable and DecryptionFailed.
    """
    return rewritten(payment, encryptor.open)


@dataclass(frozen=True)
class Unlocked:
    """A payment in plain text with the data key of its row. Encrypting it again needs no further request to KMS."""

    payment: Payment
    row: Payment
    seal: Seal

    def sealed(self, payment: Payment) -> Payment:
        """A later version of the payment, encrypted, as it may be stored."""
        return with_texts(payment, self._texts(private(payment)))

    def sealed_reference(self, reference: str) -> str:
        """A gateway reference as it may be stored and passed on: encrypted, unless it is the id of a charge."""
        return self._texts({REFERENCE: reference})[REFERENCE]

    def _texts(self, plain: Mapping[str, str]) -> dict[str, str]:
        """A value that did not change keeps the row's encrypted text, so that code without a key can compare it."""
        known, stored = private(self.payment), private(self.row)
        return self.seal({field: stored[field] if text == known.get(field) else text for field, text in plain.items()})


def unlocked(row: Payment, encryptor: RowEncryptor) -> Unlocked:
    """Decrypt a row to work on it, with one request to KMS. Raises EncryptionUnavailable and DecryptionFailed."""
    texts, seal = encryptor.unlock(context_of(row.payment_id), private(row))
    return Unlocked(with_texts(row, texts), row, seal)
