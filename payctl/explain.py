"""payctl payment explain."""

from typing import Annotated

import typer

from payctl import show
from payctl import timeline as timeline
from payctl.failures import Exit, Failure
from payctl.options import Json, stack_of
from payments.domain.payment import PAYMENT_ID


def explain(
    context: typer.Context,
    payment_id: str,
    ask: Annotated[bool, typer.Option("--gateway/--no-gateway", help="Ask the gateway about it.")] = True,
    json: Json = False,
) -> None:
    """Tell all that is known of a payment as one time line, what comes next, and what a person has to do."""
    if not PAYMENT_ID.fullmatch(payment_id):
        raise Failure(f"{payment_id!r} cannot be a payment's id", code=Exit.USAGE)
    stack = stack_of(context)
    found = timeline.told(stack, payment_id, ask_gateway=ask)
    if found.payment is None and not found.timeline_entries and not found.unavailable:
        raise Failure(f"nothing in {stack.name} knows of a payment {payment_id}")
    if json:
        show.as_json(timeline.as_json(found))
        return
    payment = found.payment
    show.facts(
        [
            ("payment", payment_id),
            ("status", show.status(payment.status) if payment else "no row"),
            ("amount", payment.money if payment else ""),
            ("gateway reference", found.reference),
            ("environment", stack.name),
        ]
    )
    show.table(
        "time line", ("at", "where", "what"), [(entry.at, entry.where, entry.what) for entry in found.timeline_entries]
    )
    for source, problem in found.unavailable.items():
        show.note(f"{source}: {problem}")
    show.heading("what now")
    for sentence in found.what_now():
        show.line(sentence)
