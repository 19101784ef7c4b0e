"""The fields of a payment that are stored sealed: its payment method, the gateway's reference, each metadata value.

Metadata keys stay as they are. Stores hold and give rows with sealed texts; who needs the plain ones opens the row.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from payments.payment import Payment
from payments.sealing import Context, KeyVault, Seal, Vault, needs_sealing

REFERENCE = "gateway_reference"
_METADATA = "metadata."


class NotSealed(Exception):
    """A row with plain text where only sealed texts are stored. A mistake of ours: nothing was stored."""


def context_of(payment_id: str) -> Context:
    """Whose fields they are."""
    return {"payment_id": payment_id}


def private(payment: Payment) -> dict[str, str]:
    """The texts by field name, sealed or not; the value of a metadata key is the field `metadata.KEY`."""
    metadata = {f"{_METADATA}{key}": value for key, value in payment.metadata.items()}
    return {"payment_method": payment.payment_method, REFERENCE: payment.gateway_reference, **metadata}


def opened(payment: Payment, vault: Vault) -> Payment:
    """The payment in plain text, by at most one request to KMS for each data key: mostly one, none without any.

    Raises VaultUnavailable and SealBroken.
    """
    return _with(payment, vault.open(context_of(payment.payment_id), private(payment)))


def sealed(payment: Payment, vault: Vault) -> Payment:
    """The payment as it may be stored. Raises VaultUnavailable."""
    return _with(payment, vault.seal(context_of(payment.payment_id), private(payment)))


def require_sealed(payment: Payment) -> None:
    """Raise NotSealed if any of its private fields is plain text."""
    if needs_sealing(private(payment)):
        raise NotSealed(f"payment {payment.payment_id} has private fields in plain text: the store needs a vault")


def new_plain_texts(payment: Payment, before: Payment) -> list[str]:
    """The private fields that hold plain text which the row did not hold before."""
    known = private(before)
    return [
        field for field, text in private(payment).items() if needs_sealing({field: text}) and text != known.get(field)
    ]


@dataclass(frozen=True)
class Unlocked:
    """A payment in plain text, with the key in hand that its row is sealed with again, whatever KMS does meanwhile."""

    payment: Payment
    row: Payment
    seal: Seal

    def sealed(self, payment: Payment) -> Payment:
        """A later version of the payment as it may be stored."""
        return _with(payment, self._texts(private(payment)))

    def sealed_reference(self, reference: str) -> str:
        """A reference of the gateway as it may be handed on."""
        return self._texts({REFERENCE: reference})[REFERENCE]

    def _texts(self, plain: Mapping[str, str]) -> dict[str, str]:
        """What is the same as in the row keeps its very text there, so that whoever has no key can compare."""
        known, stored = private(self.payment), private(self.row)
        return self.seal({field: stored[field] if text == known.get(field) else text for field, text in plain.items()})


def unlocked(row: Payment, vault: KeyVault) -> Unlocked:
    """Open a row to work on it, by one request to KMS. Raises VaultUnavailable and SealBroken."""
    texts, seal = vault.unlock(context_of(row.payment_id), private(row))
    return Unlocked(_with(row, texts), row, seal)


def _with(payment: Payment, texts: Mapping[str, str]) -> Payment:
    return replace(
        payment,
        payment_method=texts["payment_method"],
        gateway_reference=texts[REFERENCE],
        metadata={key: texts[f"{_METADATA}{key}"] for key in payment.metadata},
    )
