"""payctl migrate: what an environment of an older version needs once after its deployment."""

import typer

from payctl import adapters, environment, prompts, show
from payctl.failures import Failure
from payctl.options import Json, stack_of
from payctl.prompts import Yes
from payctl.stack import Stack
from payments.domain.clock import parse_iso


def migrate(context: typer.Context, yes: Yes = False, json: Json = False) -> None:
    """Open an environment of a version that had no mark for it, and note whom it has erased. Safe to repeat.

    Refused after a restore, where `payctl backup resume` opens, and if the payments table has no rows: lost rows do not
    show which payments are charged.
    """
    stack = stack_of(context)
    is_open = adapters.breaker(stack).state().is_open
    if not is_open:
        _check(stack)
        if not yes:
            prompts.confirm(
                f"{stack.name} then accepts and sends payments. Open it?",
                otherwise=f"{stack.name} then accepts and sends payments; open it",
            )
        environment.open_it(stack)
    noted = _note_erasures(stack)
    if json:
        show.as_json({"environment": stack.name, "changed": not is_open, "erasures_noted": noted})
        return
    show.out.print(f"{stack.name} is {'open already' if is_open else 'open'}. Erased customers noted: {noted}.")


def _note_erasures(stack: Stack) -> int:
    """Note the customers who were erased before erasures were noted, so that no restore brings them back."""
    ledger, noted = adapters.erasures(stack), 0
    known = ledger.all()
    pages = (
        stack.client("dynamodb")
        .get_paginator("scan")
        .paginate(
            TableName=stack["customers_table"],
            FilterExpression="attribute_exists(erased_at)",
            ProjectionExpression="customer_id, erased_at",
        )
    )
    for page in pages:
        for row in page["Items"]:
            if (customer_id := row["customer_id"]["S"]) not in known:
                ledger.add(customer_id, parse_iso(row["erased_at"]["S"]))
                noted += 1
    return noted


def _check(stack: Stack) -> None:
    if environment.was_restored(stack):
        raise Failure(f"a backup was restored into {stack.name}; open it with: payctl backup resume")
    rows = stack.client("dynamodb").scan(TableName=stack["payments_table"], Limit=1)["Items"]
    if not rows:
        raise Failure(
            f"the payments table of {stack.name} has no rows: an environment of before has some",
            details=[
                "if its rows are lost, restore them: payctl backup restore TIMESTAMP",
                "if it never had a payment: payctl gateway set-key opens it with its first key",
                "if it has a key and never had a payment: payctl backup resume --since TIME, when it was deployed",
            ],
        )
