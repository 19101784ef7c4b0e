"""Restore a backup into empty tables, in the order in which it was read. Resumable: every write is safe to repeat."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import batched

from payments.application.verify_backup import Chains, contradictions, problems_of_parts, rows_of
from payments.domain.backup import Manifest
from payments.domain.clock import Clock, iso
from payments.domain.erasure import without_erased
from payments.ports.backup_store import BackupStore
from payments.ports.erasure_ledger import ErasureLedger
from payments.ports.restore_target import RestoreProgress, RestoreTarget

ROWS_A_WRITE = 500


class RestoreRefused(Exception):
    """The restore would not be safe. Nothing was written. `details` say why, a sentence each."""

    def __init__(self, message: str, details: Sequence[str] = ()) -> None:
        self.message = message
        self.details = list(details)
        super().__init__(message)


@dataclass(frozen=True)
class Restore:
    """`tables` are those that a backup must have. `chains` checks the audit chains. `key_problem` says what is wrong
    with a key of the manifest, "" if it can be used. `close` closes the environment. It runs before the first row is
    written."""

    store: BackupStore
    target: RestoreTarget
    erasures: ErasureLedger
    tables: Sequence[str]
    chains: Chains
    environment_id: str
    key_problem: Callable[[str], str]
    close: Callable[[], object]
    clock: Clock

    def check(self, manifest: Manifest, on_part: Callable[[], object] = lambda: None) -> RestoreProgress:
        """Check everything that can be checked before anything is written, and return how far the restore is.

        Raises RestoreRefused: another environment's backup, a key that is gone or disabled, a broken part, a table with
        rows, or another restore that has begun.
        """
        origin = manifest.origin
        if origin.environment_id != self.environment_id:
            raise RestoreRefused(
                f"this is a backup of the environment {origin.environment_suffix} ({origin.environment_id}), "
                f"and these are the tables of {self.environment_id}"
            )
        keys = [f"{purpose}: {problem}" for purpose, arn in origin.keys.items() if (problem := self.key_problem(arn))]
        if keys:
            raise RestoreRefused("a key that the backup needs cannot be used", keys)
        begun = self.target.progress()
        if begun and begun.timestamp != manifest.timestamp:
            state = "was restored" if begun.is_done else "is being restored"
            raise RestoreRefused(f"backup {begun.timestamp} {state} into these tables")
        if not begun and (full := [table for table in self.tables if self.target.holds_rows(table)]):
            raise RestoreRefused("a restore overwrites nothing, and these tables have rows", full)
        problems = contradictions(manifest, self.tables)
        for problem in problems_of_parts(self.store, manifest, self.chains):
            problems += [problem] if problem else []
            on_part()
        if problems:
            raise RestoreRefused(f"backup {manifest.timestamp} does not verify", problems)
        return begun or RestoreProgress(manifest.timestamp, iso(self.clock()))

    def run(
        self, manifest: Manifest, progress: RestoreProgress, on_part: Callable[[], object] = lambda: None
    ) -> Counter[str]:
        """Close the environment, and write all parts that are not written yet. Returns the rows written by table.

        Of a customer who was erased since the backup, only what the erasure leaves is written.

        A part is noted after all its rows are written: a restore that is stopped repeats one part.
        """
        written: Counter[str] = Counter()
        if progress.is_done:
            return written
        self.close()
        self.target.save(progress)
        erased = self.erasures.all()  # the environment is closed: no erasure is added meanwhile
        for table in manifest.tables:
            done = progress.parts.get(table.name, 0)
            for number, part in enumerate(table.parts[done:], done + 1):
                for rows in batched(rows_of(self.store, manifest.timestamp, part), ROWS_A_WRITE):
                    kept = [without_erased(table.name, row, erased) for row in rows]
                    written[table.name] += self.target.write(table.name, kept)
                progress = replace(progress, parts={**progress.parts, table.name: number})
                self.target.save(progress)
                on_part()
        self.target.save(replace(progress, is_done=True))
        return written
