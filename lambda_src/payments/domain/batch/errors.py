"""How a batch file's errors are told: which line and column, the masked value, why, and what to do."""

from dataclasses import dataclass

from payments.domain.card_data import without_card_numbers
from payments.domain.money import shown
from payments.domain.payment import SECRET_FIELDS
from payments.domain.token import TOKEN


@dataclass(frozen=True, slots=True)
class CellError:
    """One thing that is wrong in a file. `column` is empty when it is the whole row, `value` is masked."""

    line: int
    column: str
    value: str
    reason: str
    what_to_do: str


@dataclass(frozen=True, slots=True)
class RejectedRow:
    """A row that was refused, with everything that is wrong in it. `payment_id` is empty if it is not usable."""

    line: int
    payment_id: str
    errors: tuple[CellError, ...]


class FileError(Exception):
    """A file of which no row can be read: not a CSV, a wrong header."""

    def __init__(self, *errors: CellError) -> None:
        self.errors = errors
        super().__init__("; ".join(f"line {error.line}: {error.reason}" for error in errors))


def masked(column: str, value: str) -> str:
    """A cell as an error may show it: short, without card data, and of a token only its kind."""
    value = TOKEN.sub("[token removed]", without_card_numbers(value))
    if column in SECRET_FIELDS:
        value = value and value[:3] + "…"
    return shown(value) if value else ""
