"""Write a backup: every table in segments side by side, with a checkpoint when the time of a run is over.

No moment exists at which all tables stand still. A backup therefore reads them in an order in which it can be cut to
one consistent state afterwards (`restored_rows.py`): batches first, then payments, then what payments refer to. Each
row is read strongly consistently.
"""

import gzip
import hashlib
import io
import json
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from typing import Any

from payments.application.read_rate import ReadRate
from payments.domain.backup import (
    CHECKPOINT,
    MANIFEST,
    Manifest,
    Origin,
    Part,
    Row,
    TableBackup,
    UnreadableManifest,
    key_of,
    manifest_of,
    shortened,
    timestamp_of,
)
from payments.domain.clock import Clock, iso
from payments.ports.backup_store import BackupStore, NoSuchObject
from payments.ports.table_source import TableSource

SEGMENTS = 4
"""How many shares of a table are read at the same time. Each holds one page and one part in memory."""
PART_BYTES = 4 * 1024 * 1024
"""A part is closed when its compressed rows reach this size."""
RESERVE_SECONDS = 60
"""The remaining time at which a run reads no further page: enough to store the open parts and the checkpoint."""


class _OpenPart:
    """Rows on their way into a part."""

    def __init__(self) -> None:
        self.rows = 0
        self._content = io.BytesIO()
        self._gzip = gzip.GzipFile(fileobj=self._content, mode="wb", compresslevel=6, mtime=0)

    def add(self, rows: Sequence[Row]) -> None:
        """Compress rows, one line each."""
        self.rows += len(rows)
        self._gzip.write("".join(json.dumps(row, separators=(",", ":")) + "\n" for row in rows).encode())

    @property
    def size_bytes(self) -> int:
        """The size of the rows that are compressed."""
        return self._content.tell()

    def closed(self) -> bytes:
        """The whole file."""
        self._gzip.close()
        return self._content.getvalue()


@dataclass(frozen=True)
class _Segment:
    """How far a segment is read: `after` is the key of its last row, None before the first and after the end."""

    number: int
    after: Row | None = None
    is_read: bool = False
    parts: tuple[Part, ...] = ()


@dataclass(frozen=True)
class BackupRun:
    """Writes backups. `tables` are the names of the tables in the order in which they are read, `left_out` the others.

    `continue_later` starts another run that continues a backup. Memory is bounded by SEGMENTS and PART_BYTES, and does
    not grow with the tables.
    """

    source: TableSource
    store: BackupStore
    origin: Origin
    tables: Sequence[str]
    left_out: Mapping[str, str]
    clock: Clock
    rate: ReadRate
    continue_later: Callable[[str], None]
    segments: int = SEGMENTS
    part_bytes: int = PART_BYTES

    def run(self, timestamp: str, owner: str, seconds_left: Callable[[], float]) -> Manifest | None:
        """Begin or continue the backup of this name. Returns its manifest, or None if another run continues it.

        `owner` is unique to the run and part of the names of its parts: two runs of one backup overwrite nothing.
        """
        timestamp = timestamp or timestamp_of(self.clock())
        manifest, segments = self._checkpoint(timestamp)
        for table in manifest.tables:
            if table.is_complete:
                continue
            begun = table if table.began_at else replace(table, began_at=iso(self.clock()))
            segments = segments or tuple(_Segment(number) for number in range(self.segments))
            segments = self._read(timestamp, table.name, segments, owner, seconds_left)
            begun = begun.with_parts(tuple(part for segment in segments for part in segment.parts))
            is_read = all(segment.is_read for segment in segments)
            manifest = manifest.with_table(replace(begun, ended_at=iso(self.clock())) if is_read else begun)
            if not is_read:
                self._save(timestamp, manifest, segments)
                self.continue_later(timestamp)
                return None
            segments = ()
        manifest = replace(manifest, ended_at=iso(self.clock()))
        self.store.put(key_of(timestamp, MANIFEST), manifest.as_json())
        return manifest

    def _read(
        self,
        timestamp: str,
        table: str,
        segments: Sequence[_Segment],
        owner: str,
        seconds_left: Callable[[], float],
    ) -> tuple[_Segment, ...]:
        """Read all segments of a table to their end, or until time runs short. Every row read is stored."""
        with ThreadPoolExecutor(len(segments)) as pool:
            return tuple(pool.map(lambda one: self._segment(timestamp, table, one, owner, seconds_left), segments))

    def _segment(
        self, timestamp: str, table: str, segment: _Segment, owner: str, seconds_left: Callable[[], float]
    ) -> _Segment:
        parts: list[Part] = []
        open_part = _OpenPart()

        def store() -> None:
            nonlocal open_part
            if open_part.rows:
                name = f"{table}/part-{segment.number:02}-{owner}-{len(parts):05}.jsonl.gz"
                content = open_part.closed()
                self.store.put(key_of(timestamp, name), content)
                parts.append(Part(name, open_part.rows, len(content), hashlib.sha256(content).hexdigest()))
                open_part = _OpenPart()

        after, is_read = segment.after, segment.is_read
        # every run reads a page at least: a backup of a large table always advances
        while not is_read and (after is segment.after or seconds_left() > RESERVE_SECONDS):
            self.rate.take()
            page = self.source.page(table, segment.number, self.segments, after)
            self.rate.read(page.units)
            open_part.add(page.rows)
            after, is_read = page.next_key, page.next_key is None
            if open_part.size_bytes >= self.part_bytes:
                store()
        store()
        return replace(segment, after=after, is_read=is_read, parts=tuple(parts))

    def _checkpoint(self, timestamp: str) -> tuple[Manifest, tuple[_Segment, ...]]:
        """How far the backup is: the manifest so far, and the segments of the table that is being read."""
        try:
            saved: dict[str, Any] = json.loads(self.store.get(key_of(timestamp, CHECKPOINT)))
        except NoSuchObject:
            tables = tuple(TableBackup(table) for table in self.tables)
            return Manifest(timestamp, self.origin, iso(self.clock()), tables=tables, left_out=self.left_out), ()
        segments = tuple(_Segment(one["number"], one["after"], one["is_read"]) for one in saved["segments"])
        return manifest_of(json.dumps(saved["manifest"]).encode()), segments

    def _save(self, timestamp: str, manifest: Manifest, segments: Sequence[_Segment]) -> None:
        # the parts of the segments are in the manifest already
        content = {"manifest": asdict(manifest), "segments": [asdict(replace(one, parts=())) for one in segments]}
        self.store.put(key_of(timestamp, CHECKPOINT), json.dumps(content).encode())


def manifest_at(store: BackupStore, timestamp: str) -> Manifest:
    """The manifest of a backup. Raises NoSuchObject for one that is not complete, and UnreadableManifest."""
    return manifest_of(store.get(key_of(timestamp, MANIFEST)))


def newest(store: BackupStore, before: str = "") -> Manifest | None:
    """The newest complete backup, or the newest that is older than the one named `before`."""
    for timestamp in reversed(store.timestamps()):
        if before and timestamp >= before:
            continue
        try:
            return manifest_at(store, timestamp)
        except (NoSuchObject, UnreadableManifest):
            continue
    return None


def short_of_rows(store: BackupStore, manifest: Manifest, may_shrink: frozenset[str]) -> dict[str, tuple[int, int]]:
    """Table → its rows in the backup before and in this one, for each table that lost rows."""
    before = newest(store, before=manifest.timestamp)
    return shortened(before, manifest, may_shrink) if before else {}
