"""The fields of a payment that are stored encrypted: payment method, return address, the buyer's address, each metadata
value, and a gateway reference that is not the plain id of a charge.

Metadata keys are not encrypted. Stores read and write rows with encrypted texts; code that needs plain text decrypts
the row.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from hashlib import sha256

from payments.domain.payment import Payment
from payments.domain.sealed_text import REFERENCE, Context, needs_sealing

_METADATA = "metadata."


class NotSealed(Exception):
    """A row with plain text where only encrypted text may be stored. This is a bug; nothing was stored."""


def context_of(payment_id: str) -> Context:
    """The encryption context of a payment's fields."""
    return {"payment_id": payment_id}


def private(payment: Payment) -> dict[str, str]:
    """The texts by field name, encrypted or not. The value of a metadata key has the field name `metadata.KEY`."""
    metadata = {f"{_METADATA}{key}": value for key, value in payment.metadata.items()}
    return {
        "payment_method": payment.payment_method,
        REFERENCE: payment.gateway_reference,
        "return_url": payment.return_url,
        "client_ip": payment.client_ip,
        **metadata,
    }


def reference_digest(payment_id: str, reference: str) -> str:
    """32 hexadecimal digits that compare two references of a payment without a key; "" for no reference.

    A text encrypted twice gives two texts. A reference has 24 random characters, which a digest does not reveal.
    """
    return sha256(f"{payment_id}:{reference}".encode()).hexdigest()[:32] if reference else ""


def require_sealed_reference(payment_id: str, reference: str) -> None:
    """Raise NotSealed if the reference is plain text."""
    if needs_sealing({REFERENCE: reference}):
        raise NotSealed(f"payment {payment_id} has a gateway reference in plain text: encrypt it first")


def refund_field(refund_id: str, key: str) -> str:
    """The name of the private field with a metadata value of a refund, in the context of its payment."""
    return f"refund.{refund_id}.{key}"


def require_sealed_metadata(refund_id: str, metadata: Mapping[str, str]) -> None:
    """Raise NotSealed if a value of a refund's metadata is plain text."""
    if needs_sealing({refund_field(refund_id, key): value for key, value in metadata.items()}):
        raise NotSealed(f"refund {refund_id} has metadata in plain text: encrypt it first")


def require_sealed(payment: Payment) -> None:
    """Raise NotSealed if a private field is plain text."""
    if needs_sealing(private(payment)):
        raise NotSealed(f"payment {payment.payment_id} has private fields in plain text: the store needs an encryptor")


def new_plain_texts(payment: Payment, before: Payment) -> list[str]:
    """The names of private fields with plain text that the row did not hold before."""
    known = private(before)
    return [
        field for field, text in private(payment).items() if needs_sealing({field: text}) and text != known.get(field)
    ]


def rewritten(payment: Payment, rewrite: Callable[[Context, Mapping[str, str]], Mapping[str, str]]) -> Payment:
    """The payment with its private fields as `rewrite` returns them: an encryptor's `seal` or `open`.

    Raises what `rewrite` raises.
    """
    return with_texts(payment, rewrite(context_of(payment.payment_id), private(payment)))


def with_texts(payment: Payment, texts: Mapping[str, str]) -> Payment:
    """The payment with these texts in its private fields, by the field names of `private`."""
    return replace(
        payment,
        payment_method=texts["payment_method"],
        gateway_reference=texts[REFERENCE],
        return_url=texts["return_url"],
        client_ip=texts["client_ip"],
        metadata={key: texts[f"{_METADATA}{key}"] for key in payment.metadata},
    )
