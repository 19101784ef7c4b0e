"""Verify a backup: every part is there, has its hash and as many rows as the manifest says, and audit chains verify."""

import gzip
import hashlib
import io
import json
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from payments.application.backup import manifest_at
from payments.domain.backup import VERIFIED, Manifest, Part, Row, key_of
from payments.domain.clock import Clock, iso
from payments.ports.backup_store import BackupStore, NoSuchObject

RESERVE_SECONDS = 60
"""The remaining time at which a run reads no further part."""
MOST_PROBLEMS = 20
"""The most problems that a verification names."""


class PartBroken(Exception):
    """A part that is missing, or is not the one that the manifest names. The text says which."""


def rows_of(store: BackupStore, timestamp: str, part: Part) -> Iterator[Row]:
    """The rows of a part, one after another. Raises PartBroken: before the first row if the file is not the one of the
    manifest."""
    try:
        content = store.get(key_of(timestamp, part.name))
    except NoSuchObject:
        raise PartBroken(f"{part.name} is missing") from None
    if hashlib.sha256(content).hexdigest() != part.sha256:
        raise PartBroken(f"{part.name} was changed: its hash is not that of the manifest")
    number = 0
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(content)) as lines:
            for line in lines:
                number += 1
                yield json.loads(line)
    except (OSError, EOFError, ValueError, zlib.error):
        raise PartBroken(f"{part.name} cannot be read") from None
    if number != part.rows:
        raise PartBroken(f"{part.name} has {number} rows, the manifest says {part.rows}")


Chains = Callable[[str, Iterable[Row]], Iterable[str]]
"""Reads rows of a table, and returns what is wrong with the audit chains among them."""


def problems_of_parts(store: BackupStore, manifest: Manifest, chains: Chains, start: int = 0) -> Iterator[str]:
    """One text for each part from number `start` on, in the order of the manifest: "", or what is wrong with it.

    Of the audit chains in a part, the first that does not verify is named.
    """
    tables = [(table.name, part) for table in manifest.tables for part in table.parts]
    for table, part in tables[start:]:
        try:
            faults = list(islice(chains(table, rows := rows_of(store, manifest.timestamp, part)), 1))
            for _ in rows:
                pass
        except PartBroken as broken:
            yield str(broken)
        else:
            yield f"{part.name}: {faults[0]}" if faults else ""


def parts_of(manifest: Manifest) -> list[Part]:
    """All parts of a backup."""
    return [part for table in manifest.tables for part in table.parts]


def contradictions(manifest: Manifest, tables: Sequence[str]) -> list[str]:
    """What the manifest itself shows to be wrong. `tables` are those that a backup must have."""
    problems = [f"{table} is not in the backup" for table in tables if not manifest.table(table)]
    problems += [f"{table.name} was not read to its end" for table in manifest.tables if not table.is_complete]
    problems += [
        f"{table.name} has {table.rows} rows by the manifest, but its parts have another number"
        for table in manifest.tables
        if table.rows != sum(part.rows for part in table.parts)
    ]
    return problems


@dataclass(frozen=True)
class VerifyRun:
    """Verifies a backup in as many runs as its size needs. `continue_later` takes the number of the next part and the
    problems so far. `tables` are those that a backup must have, and `chains` checks the audit chains."""

    store: BackupStore
    tables: Sequence[str]
    chains: Chains
    clock: Clock
    continue_later: Callable[[int, list[str]], None]

    def run(
        self, timestamp: str, seconds_left: Callable[[], float], start: int = 0, problems: Sequence[str] = ()
    ) -> list[str] | None:
        """Verify from part number `start` on, and store the result. Returns the problems; None if another run goes on.

        Raises NoSuchObject and UnreadableManifest if there is no manifest.
        """
        manifest, found = manifest_at(self.store, timestamp), list(problems)
        number = len(parts_of(manifest))
        for done, problem in enumerate(problems_of_parts(self.store, manifest, self.chains, start), start + 1):
            found += [problem] if problem and len(found) < MOST_PROBLEMS else []
            if done < number and seconds_left() < RESERVE_SECONDS:
                self.continue_later(done, found)
                return None
        found += contradictions(manifest, self.tables)
        result = {"at": iso(self.clock()), "problems": found}
        self.store.put(key_of(timestamp, VERIFIED), json.dumps(result, indent=2).encode())
        return found
