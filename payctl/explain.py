"""payctl payment explain."""

from typing import Annotated

import typer

from payctl import show, timeline
from payctl.failures import Exit, Failure
from payctl.options import Json, stack_of
from payctl.stack import Stack
from payments.domain.money import Money
from payments.domain.payment import PAYMENT_ID, Payment


def explain(
    context: typer.Context,
    payment_id: str,
    ask: Annotated[bool, typer.Option("--gateway/--no-gateway", help="Query the gateway for the payment.")] = True,
    json: Json = False,
) -> None:
    """Show everything known about a payment as a timeline, what happens next, and what the operator must do.

    The exit code is that of the payment's status.
    """
    if not PAYMENT_ID.fullmatch(payment_id):
        raise Failure(f"{payment_id!r} is not a valid payment id", code=Exit.USAGE)
    stack = stack_of(context)
    found = timeline.collect(stack, payment_id, ask_gateway=ask)
    if found.payment is None and not found.timeline_entries and not found.unavailable:
        raise Failure(f"there is no trace of a payment {payment_id} in {stack.name}")
    if json:
        show.as_json(timeline.as_json(found))
    else:
        _print(stack, found)
    raise typer.Exit(found.exit_code)


def _print(stack: Stack, found: timeline.Timeline) -> None:
    payment = found.payment
    show.facts(
        [
            ("payment", found.payment_id),
            ("status", show.status(payment.status) if payment else "no row"),
            ("amount", payment.money if payment else ""),
            ("refunded", _refunded(payment) if payment else ""),
            ("retry of", payment.retry_of if payment else ""),
            ("retried as", payment.retried_as if payment else ""),
            ("gateway reference", found.reference),
            ("environment", stack.name),
        ]
    )
    show.table(
        "timeline", ("at", "where", "what"), [(entry.at, entry.where, entry.what) for entry in found.timeline_entries]
    )
    for source, problem in found.unavailable.items():
        show.note(f"{source}: {problem}")
    show.heading("next steps")
    for sentence in found.what_now():
        show.line(sentence)


def _refunded(payment: Payment) -> str:
    if payment.refunded is None:
        return "a part; how much is not stored, payctl payment recheck asks the gateway"
    return str(Money(payment.refunded, payment.money.currency)) if payment.refunded else ""
