"""payctl backup resume: compare a restored environment with the gateway, and open it."""

import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

from payctl import adapters, at_gateway, batch_files, environment, prompts, show
from payctl.failures import Exit, Failure
from payctl.options import Json, stack_of
from payctl.prompts import Yes
from payctl.stack import Stack
from payments.application.compare_with_gateway import MARGIN, SENDS_FOR, CompareWithGateway, Finding
from payments.domain.backup import began_at
from payments.domain.batch.state import Batch, BatchStatus
from payments.domain.clock import iso, parse_iso, utc_now
from payments.domain.errors import PaymentError
from payments.ports.batch_store import OWNER_WHILE_CLOSED, Claim, NotClaimed
from payments.ports.payment_gateway import ListedCharge

MOST_SHOWN = 20


def resume(
    context: typer.Context,
    since: Annotated[
        datetime | None,
        typer.Option(
            formats=["%Y-%m-%dT%H:%M:%SZ"],
            help="Compare from this time (UTC) on. Needed only if no backup was restored with `payctl backup restore`.",
        ),
    ] = None,
    yes: Yes = False,
    json: Json = False,
) -> None:
    """Compare a closed environment with the gateway, so that nothing is charged twice, and open it.

    Each charge that the gateway made since the backup gets a row that knows of it. Each file that arrived since then is
    split again. Run it again if it was stopped: it opens only after everything is done.
    """
    stack = stack_of(context)
    if adapters.breaker(stack).state().is_open:
        raise Failure(f"{stack.name} is open already; nothing was changed")
    began = _compare_from(stack, since)
    listing = at_gateway.gateway(stack)
    _wait_for_senders(stack)
    findings: Counter[str] = Counter()
    differing: list[str] = []

    def note(charge: ListedCharge, finding: Finding) -> None:
        findings[finding] += 1
        if finding is Finding.DIFFERS:
            differing.append(f"{charge.payment_id}: {charge.reference}, {charge.money}")

    compare = CompareWithGateway(
        listing,
        adapters.payments(stack, encrypts=True),
        adapters.encryptor(stack),
        utc_now,
        stack["environment_id"],
        note,
    )
    now = utc_now()
    with show.bar("comparing with the gateway", max(1, (now - began) // timedelta(hours=1))) as advance:
        seen = now

        def on_page(oldest: datetime | None) -> None:
            nonlocal seen
            while oldest and seen - oldest >= timedelta(hours=1):
                seen -= timedelta(hours=1)
                advance()

        try:
            compare.compare(began, on_page)
        except PaymentError as error:
            raise Failure(
                f"the gateway did not answer: {error.message} ({error.code}); {stack.name} stays closed",
                details=["run the command again when it answers"],
            ) from None
    files = _split_again(stack, began)
    if differing:
        show.note(f"{len(differing)} charges differ from their rows; see: payctl payment explain <id>")
        for line in differing[:MOST_SHOWN]:
            show.note(f"  {line}")
    if not yes:
        prompts.confirm(
            f"{stack.name} accepts and sends payments again. Open it?",
            otherwise=f"{stack.name} accepts and sends payments again; open it",
        )
    environment.open_it(stack)
    counts = {finding.value: findings[finding] for finding in Finding}
    if json:
        show.as_json({"environment": stack.name, "since": iso(began), "charges": counts, "files": files})
        return
    show.facts(
        [("compared from", iso(began)), *counts.items(), ("files split again", files), ("environment", stack.name)]
    )
    show.out.print(f"{stack.name} is open.")


def _compare_from(stack: Stack, since: datetime | None) -> datetime:
    """The time from which on charges are compared. Raises Failure if it is not known."""
    progress = adapters.restore_progress(stack)
    if progress and not progress.is_done:
        raise Failure(
            f"backup {progress.timestamp} is not restored to its end",
            details=[f"continue it with: payctl backup restore {progress.timestamp}"],
        )
    times = [began_at(progress.timestamp) - MARGIN] if progress else []
    times += [since.replace(tzinfo=UTC)] if since else []
    if not times:
        raise Failure(
            f"no backup was restored into {stack.name}, so that it is not known what its tables lack",
            details=[
                "restore one with: payctl backup restore TIMESTAMP",
                "or name the time of the oldest payment that may be missing with --since 2026-12-01T00:00:00Z",
                "an environment of an older version: payctl migrate",
            ],
            code=Exit.USAGE,
        )
    return min(times)


def _wait_for_senders(stack: Stack) -> None:
    """Wait until no charge function that ran when the environment was closed can still send."""
    progress = adapters.restore_progress(stack)
    if not progress:
        return
    seconds = (parse_iso(progress.began_at) + SENDS_FOR - utc_now()).total_seconds()
    if seconds > 0:
        show.note(f"waiting {seconds:.0f} seconds until no function can still send from before")
        time.sleep(seconds)


def _split_again(stack: Stack, since: datetime) -> int:
    """Store each file that arrived since then as a batch that waits: recovery splits it. Returns how many there are."""
    batches, found = adapters.batches(stack), 0
    for source, at in batch_files.uploaded_since(stack, since):
        now = utc_now()
        batch = Batch(source.batch_id, source, BatchStatus.SPLITTING, iso(at), iso(now))
        try:
            batches.claim_split(batch, Claim(OWNER_WHILE_CLOSED, now, now))
        except NotClaimed:
            continue  # the backup has it, and knows how far it is
        found += 1
    return found
