"""Most rows of a file, read with one pattern. It accepts less than `parse_request`, and never anything else."""

import re
from collections.abc import Callable, Sequence

from payments.domain.card_data import is_ordinary
from payments.domain.money import InvalidMoney, Money
from payments.domain.payment import CONTROL, CUSTOMER_ID, MAX_DESCRIPTION, PAYMENT_ID, PAYMENT_METHOD, PaymentRequest
from payments.domain.sealed_text import PREFIX

_CELLS = {
    "payment_id": PAYMENT_ID.pattern,
    "amount": r"[0-9]{1,12}(?:\.[0-9]{1,4})?",
    "currency": "[A-Z]{3}",
    "customer_id": f"(?:{CUSTOMER_ID.pattern})?",
    "payment_method": f"(?:{PAYMENT_METHOD.pattern})?",
    "description": f'(?!{re.escape(PREFIX)})[^{CONTROL}\n",]{{0,{MAX_DESCRIPTION}}}',
}
"""What a cell of an ordinary row looks like: no quotes, nothing to rewrite. Cells of the other columns are empty."""


def ordinary_rows(columns: Sequence[str]) -> Callable[[str], PaymentRequest | None]:
    """A function that reads a row's text under this header, and returns None for a row that needs a careful look."""
    cells = [f"(?P<{name}>{_CELLS[name]})" if name in _CELLS else "" for name in columns]
    absent = [f"(?P<{name}>)" for name in _CELLS if name not in columns]
    row = re.compile(",".join(cells) + "".join(absent))

    def read(text: str) -> PaymentRequest | None:
        found = row.fullmatch(text)
        if not found or "ptok_" in text or not is_ordinary(text.replace(",", "x")):  # no number spans two cells
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
