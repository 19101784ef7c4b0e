"""payctl backup find."""

from typing import Annotated, Any

import typer

from payctl import adapters, backup, show
from payctl.failures import Failure
from payctl.options import Json, stack_of
from payments.application.find_in_backup import find
from payments.application.verify_backup import PartBroken, parts_of
from payments.domain.erasure import without_erased


def find_in_backup(
    context: typer.Context,
    wanted: Annotated[str, typer.Argument(metavar="ID", help="The id of a payment or of a customer.")],
    timestamp: Annotated[
        str, typer.Option("--backup", metavar="TIMESTAMP", help="The backup. Default: the newest complete one.")
    ] = "",
    json: Json = False,
) -> None:
    """Show what a backup has of one payment or customer: rows, events and audit entries. It changes nothing.

    Encrypted fields stay encrypted, and customers who were erased since stay erased.
    """
    from payments.adapters.dynamodb.items import from_item  # it imports boto3, which no help text needs

    stack = stack_of(context)
    store = adapters.backup_store(stack)
    manifest = backup.complete(store, timestamp)
    try:
        with show.bar("reading", len(parts_of(manifest))) as advance:
            rows_found = list(find(store, manifest, wanted, lambda _: advance()))
    except PartBroken as broken:
        raise Failure(f"backup {manifest.timestamp}: {broken}") from None
    erased = adapters.erasures(stack).all() if rows_found else {}
    found = [(table, from_item(without_erased(table, row, erased))) for table, row in rows_found]
    if not found:
        raise Failure(f"backup {manifest.timestamp} has nothing of {wanted}")
    if json:
        rows: dict[str, list[Any]] = {}
        for table, row in found:
            rows.setdefault(table, []).append(row)
        show.as_json({"environment": stack.name, "timestamp": manifest.timestamp, "rows": rows})
        return
    show.table(
        f"{wanted} in backup {manifest.timestamp} of {stack.name}",
        ("table", "id", "version", "status", "at"),
        [
            (
                table,
                row.get("event_id") or row.get("payment_id") or row.get("customer_id"),
                row.get("sequence") or row.get("version"),
                row.get("status") or row.get("state"),
                row.get("at") or row.get("updated_at") or row.get("received_at") or row.get("created_at"),
            )
            for table, row in found
        ],
    )
