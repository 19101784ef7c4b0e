"""Pages of payments, newest first, and the cursor where the next page begins."""

import base64
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from payments.domain.clock import iso
from payments.domain.payment import PAYMENT_ID, Payment
from payments.domain.statuses import Status

_DAY = re.compile(r"2[0-9]{3}-[0-9]{2}-[0-9]{2}", re.ASCII)
_TIME = re.compile(_DAY.pattern + r"T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3}Z", re.ASCII)
_LINE = re.compile("line:([0-9]{1,8})", re.ASCII)
_SEPARATOR = " "
_TICK = timedelta(milliseconds=1)
"""The resolution of our times."""


class BadCursor(ValueError):
    """The text is not a cursor of this API."""


@dataclass(frozen=True, slots=True)
class Cursor:
    """A position in a list. The next page begins after it.

    `at` is the time of the last payment shown (ISO 8601, as in its row) and `payment_id` its id. With an empty
    `payment_id`, `at` is a day: no payment of that day or a later one is left. In the list of a batch, `at` is the last
    line shown ("line:17"). The cursor holds nothing else. The access check runs again for every page: a cursor gives
    no access to more than its sender may list anyway.
    """

    at: str
    payment_id: str = ""

    def __str__(self) -> str:
        """The cursor as text of letters, digits, '-' and '_'."""
        return base64.urlsafe_b64encode(f"{self.at}{_SEPARATOR}{self.payment_id}".encode()).decode().rstrip("=")

    @property
    def newest(self) -> str:
        """The latest time that a payment after this position can have."""
        return self.at if self.payment_id else iso(datetime.fromisoformat(f"{self.at}T00:00Z") - _TICK)

    @classmethod
    def of_line(cls, line: int) -> "Cursor":
        """The position after a line of a batch."""
        return cls(f"line:{line}")

    @property
    def line(self) -> int | None:
        """The last line shown; None for a position in a list by time."""
        match = _LINE.fullmatch(self.at)
        return int(match[1]) if match else None

    @classmethod
    def parse(cls, text: str) -> "Cursor":
        """The inverse of `str`. Raises BadCursor."""
        try:
            decoded = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True).decode("ascii")
            at, _, payment_id = decoded.partition(_SEPARATOR)
            if not payment_id and _LINE.fullmatch(at):
                return cls(at)
            datetime.fromisoformat(at)
        except ValueError:
            raise BadCursor from None
        form = _TIME if payment_id else _DAY
        if not form.fullmatch(at) or (payment_id and not PAYMENT_ID.fullmatch(payment_id)):
            raise BadCursor
        return cls(at, payment_id)


@dataclass(frozen=True, slots=True)
class Page:
    """Some payments in order. `next_cursor` is a cursor as text, or "" on the last page.

    A page may be short or empty and still have a `next_cursor`. `examined` is the number of rows that were read for it.
    """

    payments: Sequence[Payment]
    next_cursor: str = ""
    examined: int = 0


@dataclass(frozen=True, slots=True)
class Where:
    """What the rows of a list must have, all of it. Empty values match every row. `amount` is in major units.

    `metadata_hash` is the keyed hash of a searchable entry of the metadata, as in the row.
    """

    status: Status | None = None
    currency: str = ""
    amount: Decimal | None = None
    customer_id: str = ""
    batch_id: str = ""
    metadata_hash: str = ""
    submitted_by: str = ""

    def admits(self, payment: Payment) -> bool:
        """Whether a payment has all of it."""
        asked = {
            "status": (self.status, payment.status),
            "currency": (self.currency, payment.money.currency),
            "amount": (self.amount, payment.money.decimal),
            "customer_id": (self.customer_id, payment.customer_id),
            "batch_id": (self.batch_id, payment.batch_id),
            "metadata_hash": (self.metadata_hash, payment.metadata_hash),
            "submitted_by": (self.submitted_by, payment.submitted_by),
        }
        return all(wanted in (None, "", found) for wanted, found in asked.values())


EVERYTHING = Where()
