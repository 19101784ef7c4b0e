"""A backup: where it is stored, what its manifest says, and which tables it has in which order."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

Row = dict[str, Any]
"""A row as DynamoDB's own JSON, attribute → {type: value}. Encrypted fields stay encrypted."""

BACKUPS = "backups/"
MANIFEST, CHECKPOINT, VERIFIED = "manifest.json", "checkpoint.json", "verified.json"
FORMAT = 1
"""The version of the manifest. A restore refuses a newer one."""
_TIMESTAMP = "%Y-%m-%dT%H-%M-%SZ"


def timestamp_of(at: datetime) -> str:
    """The name of a backup that begins at this time. Names sort by time."""
    return at.astimezone(UTC).strftime(_TIMESTAMP)


def began_at(timestamp: str) -> datetime:
    """When the backup of this name began. Raises ValueError for another text."""
    return datetime.strptime(timestamp, _TIMESTAMP).replace(tzinfo=UTC)


def key_of(timestamp: str, name: str) -> str:
    """The key of an object of a backup: `backups/2026-12-01T03-00-00Z/manifest.json`."""
    return f"{BACKUPS}{timestamp}/{name}"


@dataclass(frozen=True, slots=True)
class Part:
    """One file of rows: JSON Lines, gzipped. `name` is its key below the backup's folder, `sha256` of the file."""

    name: str
    rows: int
    size_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class TableBackup:
    """What a backup has of one table, and when the table was read."""

    name: str
    began_at: str = ""
    ended_at: str = ""
    rows: int = 0
    parts: tuple[Part, ...] = ()

    @property
    def is_complete(self) -> bool:
        """Whether the whole table was read."""
        return bool(self.ended_at)

    def with_parts(self, parts: tuple[Part, ...]) -> "TableBackup":
        """The table with more parts."""
        return replace(self, parts=(*self.parts, *parts), rows=self.rows + sum(part.rows for part in parts))


@dataclass(frozen=True, slots=True)
class Origin:
    """What a backup was made of: the environment, its code, the schema of its tables, and the keys of its fields.

    `keys` are ARNs by their purpose. A restore needs each of them.
    """

    environment_id: str
    environment_suffix: str
    region: str
    code_version: str
    schema_version: str
    keys: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a backup contains. It is written last: a backup without one is not complete.

    `tables` are in the order in which they were read, which a restore keeps. `left_out` has each table that no backup
    contains, with the reason. `chain_heads` is empty: the entries carry the signatures of their heads.
    """

    timestamp: str
    origin: Origin
    began_at: str
    ended_at: str = ""
    tables: tuple[TableBackup, ...] = ()
    left_out: Mapping[str, str] = field(default_factory=dict)
    chain_heads: Mapping[str, str] = field(default_factory=dict)
    format: int = FORMAT

    @property
    def rows(self) -> int:
        """The number of rows of all tables."""
        return sum(table.rows for table in self.tables)

    @property
    def size_bytes(self) -> int:
        """The size of all parts."""
        return sum(part.size_bytes for table in self.tables for part in table.parts)

    def table(self, name: str) -> TableBackup | None:
        """What the backup has of a table."""
        return next((table for table in self.tables if table.name == name), None)

    def with_table(self, table: TableBackup) -> "Manifest":
        """The manifest with this table in the place of the one of the same name."""
        return replace(self, tables=tuple(table if table.name == one.name else one for one in self.tables))

    def as_json(self) -> bytes:
        """The manifest as the file that is stored."""
        return json.dumps(asdict(self), indent=2).encode()


class UnreadableManifest(Exception):
    """A manifest that this code cannot read."""


def manifest_of(content: bytes) -> Manifest:
    """The manifest in a file. Raises UnreadableManifest, also for one of a newer format."""
    try:
        values = json.loads(content)
        if values["format"] > FORMAT:
            raise UnreadableManifest(f"the backup has format {values['format']}, which newer code wrote")
        tables = tuple(
            TableBackup(**table | {"parts": tuple(Part(**part) for part in table["parts"])})
            for table in values["tables"]
        )
        return Manifest(**values | {"origin": Origin(**values["origin"]), "tables": tables})
    except (ValueError, KeyError, TypeError) as error:
        raise UnreadableManifest(f"it is not a manifest: {type(error).__name__}: {error}") from None


def shortened(before: Manifest, now: Manifest, may_shrink: frozenset[str]) -> dict[str, tuple[int, int]]:
    """Table → its rows in the backup before and now, for each that has fewer. Rows of some tables expire."""
    counts = {table.name: (table.rows, rows.rows) for table in before.tables if (rows := now.table(table.name))}
    return {name: (had, has) for name, (had, has) in counts.items() if has < had and name not in may_shrink}
