"""Whole tables, read page by page."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from payments.domain.backup import Row


@dataclass(frozen=True, slots=True)
class Page:
    """Some rows of a segment of a table. `next_key` is where the next page begins, None at the segment's end.

    `units` are the read units that the page took.
    """

    rows: Sequence[Row]
    next_key: Row | None
    units: float


class TableSource(Protocol):
    """Reads tables by the names of their schema."""

    def page(self, table: str, segment: int, segments: int, after: Row | None = None) -> Page:
        """The next page of one of `segments` equal shares of the table. Strongly consistent for each row."""
