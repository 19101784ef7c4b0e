"""Most rows of a file, read with one pattern. It accepts less than `parse_request`, and never anything else."""

import re
from collections.abc import Callable, Sequence

from payments.application.batch.records import cells_of
from payments.domain.card_data import BETWEEN_TEXTS, is_ordinary
from payments.domain.money import InvalidMoney, Money
from payments.domain.payment import CONTROL, CUSTOMER_ID, MAX_DESCRIPTION, PAYMENT_ID, PAYMENT_METHOD, PaymentRequest
from payments.domain.sealed_text import PREFIX

_CELLS = {
    "payment_id": PAYMENT_ID.pattern,
    "amount": r"[0-9]{1,12}(?:\.[0-9]{1,4})?",
    "currency": "[A-Z]{3}",
    "customer_id": f"(?:{CUSTOMER_ID.pattern})?",
    "payment_method": f"(?:{PAYMENT_METHOD.pattern})?",
    "description": f"(?!{re.escape(PREFIX)})[^{CONTROL}]{{0,{MAX_DESCRIPTION}}}",
}
"""What a cell of an ordinary row looks like. Cells of the other columns are empty."""
_END_OF_CELL = "\x1f"
"""A control character, so that it is in no ordinary cell."""


def ordinary_rows(columns: Sequence[str]) -> Callable[[str], PaymentRequest | None]:
    """A function that reads a row's text under this header, and returns None for a row that needs a careful look."""
    present = [f"(?P<{name}>{_CELLS[name]})" if name in _CELLS else "" for name in columns]
    absent = [f"(?P<{name}>)" for name in _CELLS if name not in columns]
    row = re.compile(_END_OF_CELL.join(present) + "".join(absent))

    def read(text: str) -> PaymentRequest | None:
        if _END_OF_CELL in text or "\r" in text:
            return None
        cells = _END_OF_CELL.join(cells_of(text)) if '"' in text else text.replace(",", _END_OF_CELL)
        found = row.fullmatch(cells)
        if not found or "ptok_" in cells or not is_ordinary(cells.replace(_END_OF_CELL, BETWEEN_TEXTS)):
            return None
        payment_id, amount, currency, customer_id, payment_method, description = found.group(*_CELLS)
        try:
            money = Money.parse(amount, currency)
        except InvalidMoney:
            return None
        return PaymentRequest(
            payment_id,
            money,
            customer_id,
            payment_method,
            description,
            off_session=True,
            usually_off_session=True,
        )

    return read
