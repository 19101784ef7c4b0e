"""payctl backup restore."""

from typing import Annotated

import typer

from payctl import adapters, backup, environment, prompts, show
from payctl.failures import Failure
from payctl.options import Json, stack_of
from payctl.prompts import Yes
from payctl.stack import Stack
from payments.adapters.dynamodb.backed_up import BACKED_UP
from payments.application.restore import Restore, RestoreRefused
from payments.application.verify_backup import parts_of
from payments.domain.clock import utc_now


def restore(
    context: typer.Context,
    timestamp: Annotated[str, typer.Argument(metavar="TIMESTAMP", help="The backup, as in `payctl backup list`.")],
    yes: Yes = False,
    json: Json = False,
) -> None:
    """Restore a backup into the empty tables of its environment. Run it again if it was stopped.

    The environment is closed first, and stays closed: no payment is accepted or sent until `payctl backup resume`.
    """
    stack = stack_of(context)
    store = adapters.backup_store(stack)
    manifest = backup.complete(store, timestamp)
    parts = len(parts_of(manifest))
    restoring = Restore(
        store=store,
        target=adapters.restore_target(stack, manifest.began_at),
        erasures=adapters.erasures(stack),
        tables=[table.name for table in BACKED_UP],
        chains=adapters.backed_up_chains(stack).faults,
        environment_id=stack["environment_id"],
        key_problem=lambda arn: _key_problem(stack, arn),
        close=lambda: environment.close(stack),
        clock=utc_now,
    )
    try:
        with show.bar("verifying", parts) as advance:
            progress = restoring.check(manifest, advance)
        if not yes:
            prompts.confirm(
                f"{stack.name} accepts and sends no payment until you resume it. Restore {timestamp} into it?",
                otherwise=f"{stack.name} accepts and sends no payment until it is resumed; restore into it",
            )
        with show.bar("restoring", parts - sum(progress.parts.values())) as advance:
            written = restoring.run(manifest, progress, advance)
    except RestoreRefused as refused:
        raise Failure(f"{refused.message}; nothing was written", details=refused.details) from None
    rows = [(table.name, table.rows, written[table.name]) for table in manifest.tables]
    if json:
        counts = {name: {"backup": backup, "written": restored} for name, backup, restored in rows}
        show.as_json({"environment": stack.name, "timestamp": timestamp, "rows": counts})
        return
    show.table(f"backup {timestamp} in {stack.name}", ("table", "rows of the backup", "rows written"), rows)
    show.note("rows that belong to no state, such as slots of the rate limiter, are left out")
    show.out.print(
        f"{stack.name} is restored and closed. Compare it with the gateway and open it: payctl backup resume"
    )


def _key_problem(stack: Stack, arn: str) -> str:
    """What is wrong with a key; "" if it can be used."""
    client = stack.client("kms")
    try:
        state = client.describe_key(KeyId=arn)["KeyMetadata"]["KeyState"]
    except client.exceptions.NotFoundException:
        return f"{arn} does not exist"
    return "" if state == "Enabled" else f"{arn} is {state}"
