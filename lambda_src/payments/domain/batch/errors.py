"""The errors of a batch file: line and column, the masked value, the reason, and what to do."""

from dataclasses import dataclass

from payments.domain.card_data import without_card_numbers
from payments.domain.money import shown
from payments.domain.payment import SECRET_FIELDS
from payments.domain.token import TOKEN

_SEARCHED = 1_000
"""How much of a cell is searched for what must not be shown: many times the 24 characters that are shown."""


@dataclass(frozen=True, slots=True)
class CellError:
    """One error in a file. `column` is empty when it concerns the whole row. `value` is masked."""

    line: int
    column: str
    value: str
    reason: str
    what_to_do: str


@dataclass(frozen=True, slots=True)
class RejectedRow:
    """A rejected row with all its errors. `payment_id` is empty if it is not usable."""

    line: int
    payment_id: str
    errors: tuple[CellError, ...]


class FileError(Exception):
    """A file without a readable row, for example because it is not a CSV or has a wrong header."""

    def __init__(self, *errors: CellError) -> None:
        self.errors = errors
        super().__init__("; ".join(f"line {error.line}: {error.reason}" for error in errors))


def masked(column: str, value: str) -> str:
    """A cell as an error may show it: short, without card data, and with only the beginning of secret values."""
    value = TOKEN.sub("[token removed]", without_card_numbers(value[:_SEARCHED]))
    if column in SECRET_FIELDS:
        value = value and value[:3] + "…"
    return shown(value) if value else ""
