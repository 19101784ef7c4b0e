"""The parameters of the lists of payments: what a client may ask for, and in which words."""

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from payments.domain.currencies import EXPONENTS
from payments.domain.listing import Cursor, Where
from payments.domain.money import shown
from payments.domain.payment import CUSTOMER_ID, FieldError
from payments.domain.statuses import Status
from payments.rest.http import Problem

OF_A_PAGE = ("limit", "cursor", "status", "from", "to")
"""The parameters of every list."""
OF_A_CUSTOMER = (*OF_A_PAGE, "day", "currency", "amount", "batch_id", "metadata")
OF_ALL = (*OF_A_CUSTOMER, "customer_id", "gateway_reference")
DEFAULT_LIMIT, MAX_LIMIT = 20, 100
BEGINNING, END = datetime(2000, 1, 1, tzinfo=UTC), datetime(3000, 1, 1, tzinfo=UTC)
"""Payments are never outside this range. Times beyond it are replaced by these."""
DAY = timedelta(days=1)
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)
_DATE_TIME = re.compile(
    _DATE.pattern + r"T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?(Z|[+-][0-9]{2}:[0-9]{2})?", re.ASCII
)
_AMOUNT = re.compile(r"[0-9]{1,12}(\.[0-9]{1,4})?", re.ASCII)
_BATCH_ID = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)
_REFERENCE = re.compile(r"pi_[A-Za-z0-9]{1,250}", re.ASCII)
_TICK = timedelta(milliseconds=1)
"""The resolution of the times of payments."""


@dataclass(frozen=True, slots=True)
class Asked:
    """The validated parameters of a page. `until` is exclusive. `metadata` is the value of the searchable entry."""

    limit: int
    after: Cursor | None
    since: datetime | None
    until: datetime | None
    where: Where
    metadata: str = ""
    gateway_reference: str = ""

    @property
    def is_one_day(self) -> bool:
        """Whether the times are within a day."""
        return bool(self.since and self.until and self.until - self.since <= DAY)


def parse_query(query: Mapping[str, str], parameters: Collection[str] = OF_A_PAGE, *, searchable: str = "") -> Asked:
    """Validate the parameters of a page. `searchable` is the key of the metadata that may be searched.

    Raises Problem 400 naming all invalid parameters.
    """
    errors: list[FieldError] = []

    def parsed[T](name: str, parse: Callable[[str], T], allowed: str, default: T) -> T:
        if name not in query or name not in parameters:
            return default
        try:
            return parse(query[name])
        except (ValueError, OverflowError):
            errors.append(FieldError(name, f"{shown(query[name])} given; {allowed}"))
            return default

    for name in query:
        if name not in parameters:
            errors.append(FieldError("parameter", f"unknown parameter {shown(name)}; allowed: {', '.join(parameters)}"))
    when = "give a date or a date and time in UTC such as 2026-11-21 or 2026-11-21T12:00:00Z"
    day = parsed("day", _day, "give a date in UTC such as 2026-11-21", None)
    if "day" in query and "day" in parameters and ("from" in query or "to" in query):
        errors.append(FieldError("day", "give either day, or from and to"))
    nothing: Any = None
    asked = Asked(
        limit=parsed("limit", _limit, f"give a whole number from 1 to {MAX_LIMIT}", DEFAULT_LIMIT),
        after=parsed("cursor", Cursor.parse, "give the next_cursor of the previous page, or none", nothing),
        since=parsed("from", _moment, when, day),
        until=parsed("to", _end, when, day and day + DAY),
        where=Where(
            status=parsed("status", Status, f"allowed are {', '.join(Status)}", nothing),
            currency=parsed("currency", _currency, "give an ISO 4217 code such as USD", ""),
            amount=parsed("amount", _amount, "give an amount in major units such as 99.99", nothing),
            customer_id=parsed("customer_id", _matching(CUSTOMER_ID), "give your id of a customer", ""),
            batch_id=parsed("batch_id", _matching(_BATCH_ID), "give the id of a batch", ""),
        ),
        metadata=parsed("metadata", _entry_of(searchable), _allowed_metadata(searchable), ""),
        gateway_reference=parsed(
            "gateway_reference", _matching(_REFERENCE), "give the id of a payment intent, which begins with pi_", ""
        ),
    )
    if errors:
        raise refused(errors)
    return asked


def refused(errors: list[FieldError]) -> Problem:
    """Problem 400 that names the invalid parameters."""
    return Problem(400, "invalid-request", "some parameters are invalid; correct them and send it again", errors)


def _limit(text: str) -> int:
    if not re.fullmatch("[0-9]{1,3}", text, re.ASCII) or not 1 <= int(text) <= MAX_LIMIT:
        raise ValueError(text)
    return int(text)


def _moment(text: str) -> datetime | None:
    if not _DATE.fullmatch(text) and not _DATE_TIME.fullmatch(text):
        raise ValueError(text)
    moment = datetime.fromisoformat(text)
    utc = moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    return min(max(utc, BEGINNING), END)


def _day(text: str) -> datetime | None:
    if not _DATE.fullmatch(text):
        raise ValueError(text)
    return _moment(text)


def _end(text: str) -> datetime | None:
    """The exclusive end of a range that includes the given time, or the whole day of a given date."""
    moment = _moment(text)
    return moment and moment + (DAY if _DATE.fullmatch(text) else _TICK)


def _currency(text: str) -> str:
    if text not in EXPONENTS:
        raise ValueError(text)
    return text


def _amount(text: str) -> Decimal | None:
    if not _AMOUNT.fullmatch(text):
        raise ValueError(text)
    return Decimal(text)


def _matching(pattern: re.Pattern[str]) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if not pattern.fullmatch(text):
            raise ValueError(text)
        return text

    return parse


def _entry_of(searchable: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        key, _, value = text.partition(":")
        if not searchable or key != searchable or not value:
            raise ValueError(text)
        value.encode()  # half of a surrogate pair is no text: UnicodeEncodeError is a ValueError
        return value

    return parse


def _allowed_metadata(searchable: str) -> str:
    if not searchable:
        return "no key of the metadata is searchable here: SEARCHABLE_METADATA names one"
    return f"only this key is searchable: {searchable}:VALUE"
