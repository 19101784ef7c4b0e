"""payctl backup: make, list and verify backups."""

import json as jsonlib
import time
from dataclasses import asdict, dataclass
from typing import Annotated, Any

import typer

from payctl import adapters, show
from payctl.failures import Exit, Failure
from payctl.options import Json, Timeout, stack_of
from payctl.stack import Stack
from payments.adapters.dynamodb.backed_up import BACKED_UP
from payments.application.backup import manifest_at
from payments.application.verify_backup import contradictions, parts_of, problems_of_parts
from payments.domain.backup import VERIFIED, Manifest, UnreadableManifest, began_at, key_of, timestamp_of
from payments.domain.clock import utc_now
from payments.ports.backup_store import BackupStore, NoSuchObject

app = typer.Typer(help="Backups of all tables: make, list, verify and restore them.", no_args_is_help=True)

POLL_SECONDS = 1.0
RUN_SECONDS = 3600
Timestamp = Annotated[str, typer.Argument(metavar="[TIMESTAMP]", help="The backup, as in `payctl backup list`.")]


@dataclass(frozen=True)
class _Line:
    """One backup of the list."""

    timestamp: str
    state: str
    rows: int = 0
    size_bytes: int = 0
    code_version: str = ""


@app.command()
def run(context: typer.Context, timeout: Timeout = RUN_SECONDS, json: Json = False) -> None:
    """Make a backup now, and wait until it is complete and verified."""
    stack = stack_of(context)
    store, timestamp = adapters.backup_store(stack), timestamp_of(utc_now())
    adapters.backup(stack)({"timestamp": timestamp})
    problems = _verified(store, timestamp, timeout)
    _report(stack, manifest_at(store, timestamp), problems, json)


@app.command("list")
def list_backups(context: typer.Context, json: Json = False) -> None:
    """List the backups, the newest first: when, how many rows, and whether they verify."""
    stack = stack_of(context)
    store = adapters.backup_store(stack)
    lines = [_line(store, timestamp) for timestamp in reversed(store.timestamps())]
    if json:
        show.as_json({"environment": stack.name, "backups": [asdict(line) for line in lines]})
        return
    columns = ("timestamp", "state", "rows", "bytes", "code")
    show.table(
        f"backups of {stack.name}",
        columns,
        [(line.timestamp, line.state, line.rows, line.size_bytes, line.code_version) for line in lines],
    )


@app.command()
def verify(context: typer.Context, timestamp: Timestamp = "", json: Json = False) -> None:
    """Verify a backup: hashes, counts, tables and audit chains. Without TIMESTAMP, the newest complete one."""
    stack = stack_of(context)
    store = adapters.backup_store(stack)
    manifest = complete(store, timestamp)
    with show.bar("verifying", len(parts_of(manifest))) as advance:
        problems = []
        for problem in problems_of_parts(store, manifest, adapters.backed_up_chains(stack).faults):
            problems += [problem] if problem else []
            advance()
    problems += contradictions(manifest, [table.name for table in BACKED_UP])
    _report(stack, manifest, problems, json)


def complete(store: BackupStore, timestamp: str) -> Manifest:
    """The manifest of a backup, of the newest complete one if `timestamp` is empty. Raises Failure."""
    if timestamp:
        try:
            began_at(timestamp)
            return manifest_at(store, timestamp)
        except ValueError:
            raise Failure(f"{timestamp} is not the name of a backup", code=Exit.USAGE) from None
        except NoSuchObject:
            raise Failure(f"there is no complete backup {timestamp}; see: payctl backup list") from None
        except UnreadableManifest as error:
            raise Failure(f"backup {timestamp}: {error}") from None
    for newest in reversed(store.timestamps()):
        try:
            return manifest_at(store, newest)
        except NoSuchObject:
            continue  # it is not complete
        except UnreadableManifest as error:
            raise Failure(f"backup {newest}: {error}") from None
    raise Failure("there is no complete backup yet; make one with: payctl backup run")


def _verified(store: BackupStore, timestamp: str, timeout: float) -> list[str]:
    """Wait for the function's own verification. Raises Failure after `timeout` seconds."""
    ends = time.monotonic() + timeout
    while time.monotonic() < ends:
        try:
            result: dict[str, Any] = jsonlib.loads(store.get(key_of(timestamp, VERIFIED)))
        except NoSuchObject:
            time.sleep(POLL_SECONDS)
        else:
            return [str(problem) for problem in result["problems"]]
    raise Failure(
        f"backup {timestamp} is not complete after {timeout:g} seconds",
        details=["a large backup continues; see: payctl backup list", "or its function fails: see its logs"],
        code=Exit.STILL_OPEN,
    )


def _line(store: BackupStore, timestamp: str) -> _Line:
    try:
        manifest = manifest_at(store, timestamp)
    except NoSuchObject:
        return _Line(timestamp, "not complete")
    except UnreadableManifest:
        return _Line(timestamp, "unreadable")
    try:
        problems = jsonlib.loads(store.get(key_of(timestamp, VERIFIED)))["problems"]
    except NoSuchObject:
        state = "not verified"
    else:
        state = "unverifiable" if problems else "verified"
    return _Line(timestamp, state, manifest.rows, manifest.size_bytes, manifest.origin.code_version)


def _report(stack: Stack, manifest: Manifest, problems: list[str], json: bool) -> None:
    if json:
        show.as_json(
            {
                "environment": stack.name,
                "timestamp": manifest.timestamp,
                "began_at": manifest.began_at,
                "ended_at": manifest.ended_at,
                "rows": {table.name: table.rows for table in manifest.tables},
                "bytes": manifest.size_bytes,
                "problems": problems,
            }
        )
    else:
        show.table(
            f"backup {manifest.timestamp} of {stack.name}",
            ("table", "rows", "parts"),
            [(table.name, table.rows, len(table.parts)) for table in manifest.tables],
        )
    if problems:
        raise Failure(f"backup {manifest.timestamp} cannot be restored as it is", details=problems)
    if not json:
        show.out.print(
            f"Backup {manifest.timestamp} is verified: {manifest.rows:,} rows, {manifest.size_bytes:,} bytes."
        )
