"""The fields of a payment that are stored sealed: its payment method, the gateway's reference, each metadata value.

Metadata keys stay as they are. Stores hold and give rows with sealed texts; who needs the plain ones opens the row.
"""

from collections.abc import Mapping
from dataclasses import replace

from payments.domain.payment import Payment
from payments.domain.sealed_text import Context, needs_sealing

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


def with_texts(payment: Payment, texts: Mapping[str, str]) -> Payment:
    return replace(
        payment,
        payment_method=texts["payment_method"],
        gateway_reference=texts[REFERENCE],
        metadata={key: texts[f"{_METADATA}{key}"] for key in payment.metadata},
    )
