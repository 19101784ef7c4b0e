"""Most rows of a file, read with one pattern. It accepts less than `parse_request`, and never anything else."""

import re
from collections.abc import Callable, Sequence

from payments.application.batch.records import cells_of
from payments.domain.card_data import BETWEEN_TEXTS, is_ordinary
from payments.domain.money import Money
from payments.domain.payment import CONTROL, CUSTOMER_ID, MAX_DESCRIPTION, PAYMENT_ID, PAYMENT_METHOD, PaymentRequest
from payments.domain.quick_init import maker
from payments.domain.sealed_text import PREFIX

_CELLS = {
    "payment_id": PAYMENT_ID.pattern,
    "amount": r"(?P<whole>[0-9]{1,12})(?:\.(?P<part>[0-9]{1,4}))?",
    "currency": "[A-Z]{3}",
    "customer_id": f"(?:{CUSTOMER_ID.pattern})?",
    "payment_method": f"(?:{PAYMENT_METHOD.pattern})?",
    "description": f"(?!{re.escape(PREFIX)})[^{CONTROL}]{{0,{MAX_DESCRIPTION}}}",
}
"""What a cell of an ordinary row looks like. Cells of the other columns are empty."""
_made = maker(PaymentRequest)
_END_OF_CELL = "\x1f"
"""A control character, so that it is in no ordinary cell."""

_MAY_BE_OURS = re.compile(r"""(?:^|[,";|\t])'""")
"""An apostrophe that may stand before a formula: see `as_written`."""


def ordinary_rows(columns: Sequence[str]) -> Callable[[Sequence[str]], list[PaymentRequest | None]]:
    """A function that reads the texts of rows under this header, with None for each row that needs a careful look."""
    present = [f"(?P<{name}>{_CELLS[name]})" if name in _CELLS else "" for name in columns]
    absent = [f"(?P<{name}>)" for name in _CELLS if name not in columns]
    row = re.compile(_END_OF_CELL.join(present) + "".join(absent))
    places = tuple(row.groupindex[name] for name in ("payment_id", "whole", "part", *tuple(_CELLS)[2:]))

    def read(texts: Sequence[str]) -> list[PaymentRequest | None]:
        found = [row.fullmatch(_marked(text)) for text in texts]
        together = [match[0] for match in found if match]
        if _have_no_secret(_END_OF_CELL.join(together)):  # a glance at all of them costs little more than one at each
            return [match and _request(*match.group(*places)) for match in found]
        return [_request(*match.group(*places)) if match and _have_no_secret(match[0]) else None for match in found]

    return read


def _marked(text: str) -> str:
    """The cells of a row with a mark between them, or "" for a row that is not ordinary."""
    if _END_OF_CELL in text or "\r" in text or ("'" in text and _MAY_BE_OURS.search(text)):
        return ""
    return _END_OF_CELL.join(cells_of(text)) if '"' in text else text.replace(",", _END_OF_CELL)


def _have_no_secret(cells: str) -> bool:
    return "ptok_" not in cells and is_ordinary(cells.replace(_END_OF_CELL, BETWEEN_TEXTS))


def _request(
    payment_id: str,
    whole: str,
    part: str | None,
    currency: str,
    customer_id: str,
    payment_method: str,
    description: str,
) -> PaymentRequest | None:
    money = Money.of_digits(whole, part or "", currency)
    if money is None:
        return None
    return _made(payment_id, money, customer_id, payment_method, description, {}, "", True, True)
