"""Tables and a bucket of backups in memory."""

from collections.abc import Callable, Mapping

from payments.domain.backup import BACKUPS, Row
from payments.ports.backup_store import NoSuchObject
from payments.ports.table_source import Page


class MemoryTableSource:
    """Tables as lists of rows. A page has at most `page_rows` rows, and takes a unit for each. `on_page` is called
    before each page, for what happens while a backup runs."""

    def __init__(
        self, tables: Mapping[str, list[Row]], page_rows: int = 10, on_page: Callable[[str], object] = lambda _: None
    ) -> None:
        self._tables = tables
        self._page_rows = page_rows
        self._on_page = on_page

    def page(self, table: str, segment: int, segments: int, after: Row | None = None) -> Page:
        """The next rows of a share: every so many rows of the table belong to it."""
        self._on_page(table)
        rows = self._tables[table][segment::segments]
        start = int(after["position"]["N"]) if after else 0
        end = start + self._page_rows
        more = end < len(rows)
        return Page(rows[start:end], {"position": {"N": str(end)}} if more else None, len(rows[start:end]))


class MemoryBackupStore:
    """Objects in a dict."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}

    def put(self, key: str, content: bytes) -> None:
        """Store an object."""
        self.objects[key] = content

    def get(self, key: str) -> bytes:
        """An object. Raises NoSuchObject."""
        try:
            return self.objects[key]
        except KeyError:
            raise NoSuchObject(key) from None

    def timestamps(self) -> list[str]:
        """The folders below `backups/`."""
        return sorted({key.removeprefix(BACKUPS).partition("/")[0] for key in self.objects if key.startswith(BACKUPS)})
