"""Payments in pages, newest first: the port, and the cursor that says where the next page begins."""

import base64
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from payments.domain.clock import iso
from payments.domain.payment import PAYMENT_ID, Payment

_DAY = re.compile(r"2[0-9]{3}-[0-9]{2}-[0-9]{2}", re.ASCII)
_TIME = re.compile(_DAY.pattern + r"T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3}Z", re.ASCII)
_SEPARATOR = " "
_TICK = timedelta(milliseconds=1)
"""As fine as our times are."""


class BadCursor(ValueError):
    """A text that is no cursor of ours."""


@dataclass(frozen=True, slots=True)
class Cursor:
    """A position in a list: all that is older than it follows.

    `at` is the time of the last payment shown (ISO 8601, as its row has it) and `payment_id` its id; or `at` is a day
    all by itself, where nothing of this day or a later one is left. It holds no more than that: whose payments are
    listed is asked anew for every page, so that a cursor reaches nothing that its sender could not list anyway.
    """

    at: str
    payment_id: str = ""

    def __str__(self) -> str:
        """Letters, digits, '-' and '_'."""
        return base64.urlsafe_b64encode(f"{self.at}{_SEPARATOR}{self.payment_id}".encode()).decode().rstrip("=")

    @property
    def newest(self) -> str:
        """The newest time that a payment after this position can have."""
        return self.at if self.payment_id else iso(datetime.fromisoformat(f"{self.at}T00:00Z") - _TICK)

    @classmethod
    def parse(cls, text: str) -> "Cursor":
        """The inverse of `str`. Raises BadCursor."""
        try:
            decoded = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True).decode("ascii")
            at, _, payment_id = decoded.partition(_SEPARATOR)
            datetime.fromisoformat(at)
        except ValueError:
            raise BadCursor from None
        form = _TIME if payment_id else _DAY
        if not form.fullmatch(at) or (payment_id and not PAYMENT_ID.fullmatch(payment_id)):
            raise BadCursor
        return cls(at, payment_id)


@dataclass(frozen=True, slots=True)
class Page:
    """Some payments in their order. `next_cursor`, a cursor as text, is "" if there is nothing more.

    A page may be short or empty and have one all the same.
    """

    payments: Sequence[Payment]
    next_cursor: str = ""
