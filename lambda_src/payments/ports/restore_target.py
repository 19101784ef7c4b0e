"""The tables that a backup is restored into."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from payments.domain.backup import Row


@dataclass(frozen=True, slots=True)
class RestoreProgress:
    """How far a restore is: the backup, since when it runs, and how many parts of each table are written."""

    timestamp: str
    began_at: str
    parts: dict[str, int] = field(default_factory=dict)
    is_done: bool = False


class RestoreTarget(Protocol):
    """Writes rows as they must be after a restore. The environment is closed meanwhile, so that no other code writes
    the same rows. Tables are named as in the schema."""

    def progress(self) -> RestoreProgress | None:
        """The progress of the last restore; None if there was none since the tables exist."""

    def save(self, progress: RestoreProgress) -> None:
        """Store the progress."""

    def holds_rows(self, table: str) -> bool:
        """Whether the table has rows that a restore would replace."""

    def write(self, table: str, rows: Sequence[Row]) -> int:
        """Write rows, changed so that all tables together are one state. Safe to repeat. Returns how many were
        written: rows that belong to no state are left out."""
