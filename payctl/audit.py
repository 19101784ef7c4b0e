"""payctl audit: show and verify the audit log."""

import time
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

from payctl import adapters, show
from payctl.failures import Exit, Failure
from payctl.options import Json, Timeout, stack_of
from payctl.stack import Stack
from payments.application.anchored_heads import NoAnchorYet
from payments.application.verify_audit import AuditVerification, first_of_each
from payments.domain.audit_chain import OUTCOME_IN_WORDS, Fault
from payments.domain.clock import utc_now
from payments.domain.listing import Cursor, Where
from payments.domain.statuses import Status
from payments.ports.field_encryptor import EncryptionUnavailable

app = typer.Typer(
    help="The audit log: show the entries of a payment, verify entries and anchors.", no_args_is_help=True
)

POLL_SECONDS = 1.0
ROWS_A_PAGE = 100
CANNOT_CHECK = "the audit log could not be checked"


@app.command("show")
def show_entries(
    context: typer.Context,
    payment_id: Annotated[str, typer.Argument(metavar="ID", help="The payment.")],
    json: Json = False,
) -> None:
    """Show the audit entries of a payment: who did what, when, and with which outcome."""
    stack = stack_of(context)
    entries = adapters.audit_log(stack).entries(payment_id)
    if not entries:
        raise Failure(f"{stack.name} has no audit entries of {payment_id}")
    if json:
        show.as_json({"environment": stack.name, "entries": [asdict(entry) for entry in entries]})
        return
    show.table(
        f"audit log of {payment_id}",
        ("entry", "at", "outcome", "who", "channel", "before", "reason"),
        [
            (
                entry.sequence,
                entry.at,
                entry.outcome or OUTCOME_IN_WORDS[Status(entry.status)],
                entry.actor,
                entry.channel,
                entry.before,
                f"{entry.code}: {entry.message}" if entry.code else "",
            )
            for entry in entries
        ],
    )


@app.command()
def verify(
    context: typer.Context,
    payment_ids: Annotated[list[str] | None, typer.Argument(metavar="[ID]...", help="Payments to verify.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Verify all payments and all anchors.")] = False,
    since: Annotated[
        datetime | None, typer.Option(metavar="TIME", help="Verify the payments that changed since then (UTC).")
    ] = None,
    json: Json = False,
) -> None:
    """Verify audit entries, their rows, their signatures and their anchors. Exit code 6 if one was tampered with.

    Names the payment and the entry that was edited, removed, inserted, reordered or cut off, or whose row says
    something else, and the anchor that was replaced or removed.
    """
    if sum((bool(payment_ids), everything, since is not None)) != 1:
        raise Failure("give payment ids, or --all, or --since TIME", code=Exit.USAGE)
    stack = stack_of(context)
    verification = adapters.audit_verification(stack)
    try:
        if everything:
            checked, faults = _all(stack, verification)
        else:
            changed = _changed_since(stack, since.replace(tzinfo=UTC)) if since else []
            checked, faults = _some(verification, payment_ids or changed)
    except EncryptionUnavailable as error:
        raise Failure(f"{CANNOT_CHECK}: {error}", details=["you need kms:VerifyMac on both keys"]) from None
    except NoAnchorYet as error:
        raise Failure(f"{CANNOT_CHECK}: {error}", details=["write one now: payctl audit anchor"]) from None
    if json:
        found = [asdict(fault) for fault in faults]
        show.as_json({"environment": stack.name, "checked": checked, "faults": found, "verified": not faults})
    elif faults:
        show.table(
            f"audit log of {stack.name}",
            ("payment", "entry", "how", "what"),
            [(fault.payment_id, fault.entry or "", fault.kind, fault.text) for fault in faults],
        )
    else:
        show.out.print(f"{checked} payments verify.")
    if faults:
        raise Failure(
            f"the audit log was tampered with: {len(faults)} findings",
            details=["what to do: docs/runbooks.md#audit-broken"],
            code=Exit.TAMPERED,
        )


@app.command()
def anchor(context: typer.Context, timeout: Timeout = 900, json: Json = False) -> None:
    """Write an anchor now, and wait for it. One is written every hour without this command."""
    stack = stack_of(context)
    number = adapters.next_anchor(stack)
    adapters.anchor(stack)({})
    ends = time.monotonic() + timeout
    while adapters.next_anchor(stack) == number:
        if time.monotonic() > ends:
            raise Failure(
                f"no anchor is written after {timeout:g} seconds",
                details=["a large first one continues; otherwise see the logs of its function"],
                code=Exit.STILL_OPEN,
            )
        time.sleep(POLL_SECONDS)
    if json:
        show.as_json({"environment": stack.name, "anchor": number})
        return
    show.out.print(f"Anchor {number} of {stack.name} is written.")


def _all(stack: Stack, verification: AuditVerification) -> tuple[int, list[Fault]]:
    payments = 0
    whole = adapters.whole_audit_log(stack)
    with show.bar("verifying", whole.about_payments()) as advance:

        def on_payment() -> None:
            nonlocal payments
            payments += 1
            advance()

        faults = first_of_each(verification.all(whole, on_payment))
    return payments, faults


def _some(verification: AuditVerification, payment_ids: Sequence[str]) -> tuple[int, list[Fault]]:
    with show.bar("verifying", len(payment_ids)) as advance:
        return len(payment_ids), verification.some(payment_ids, advance)


def _changed_since(stack: Stack, since: datetime) -> list[str]:
    """The payments that changed since then, by the index of statuses."""
    listing, until, found = adapters.listing(stack), utc_now() + timedelta(minutes=1), set[str]()
    for status in Status:
        cursor = None
        while True:
            page = listing.all(where=Where(status=status), since=since, until=until, limit=ROWS_A_PAGE, after=cursor)
            found |= {row.payment_id for row in page.payments}
            if not page.next_cursor:
                break
            cursor = Cursor.parse(page.next_cursor)
    return sorted(found)
