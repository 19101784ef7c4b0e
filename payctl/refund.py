"""payctl refund create, approve, reject, show, list, done: refunds over the API, and the operators' list of refunds."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any
from urllib.parse import quote, urlencode

import typer

from payctl import adapters, prompts, show
from payctl.api import Api
from payctl.failures import Failure
from payctl.options import Json, stack_of
from payctl.payment_list import PAGE
from payctl.prompts import Yes
from payments.application.acknowledge_refund import NothingToDo, acknowledge
from payments.domain.clock import utc_now
from payments.domain.due import Kind
from payments.domain.refund import Refund
from payments.domain.refund_statuses import RefundStatus
from payments.ports.payment_store import VersionConflict
from payments.ports.refund_store import RefundNotStored

COLUMNS = ("refund", "payment", "status", "amount", "attention", "reason", "updated at")
WHAT_TO_DO = {
    "failed_late": "pay the payer in another way, or send a new refund under a new id",
    "amount_differs": "compare the amount with Stripe's dashboard",
    "contradicts": "compare the status with Stripe's dashboard",
    "idempotency_error": "look for the refund at Stripe; recovery ends it after 23 hours",
    "no_reference": "refund the payment at Stripe's dashboard",
    "": "no answer yet: recovery asks Stripe again; do not refund it at Stripe by hand",
}
"""Why a refund is on the operators' list → what to do."""
WAITS_FOR_APPROVAL = "no admin has decided yet: payctl refund approve, or payctl refund reject"

app = typer.Typer(help="Refund payments, follow refunds, and see those that need an operator.", no_args_is_help=True)
RefundId = Annotated[str, typer.Argument(metavar="ID", help="Your id for the refund.")]


@app.command()
def create(
    context: typer.Context,
    payment_id: Annotated[str, typer.Argument(metavar="PAYMENT", help="The payment to refund.")],
    id: Annotated[str, typer.Option(metavar="ID", help="Your id for the refund, its idempotency key: ref_1")],
    amount: Annotated[str | None, typer.Option(help="In major units: 40.00. Without it, all that is left.")] = None,
    reason: Annotated[str | None, typer.Option(help="duplicate, fraudulent or requested_by_customer")] = None,
    description: Annotated[str | None, typer.Option(help="A text for your records.")] = None,
    json: Json = False,
) -> None:
    """Refund a payment, in part or all that is left. The same command again changes nothing."""
    stack = stack_of(context)
    given = {"refund_id": id, "amount": amount, "reason": reason, "description": description}
    body = {name: value for name, value in given.items() if value is not None}
    answer = Api(stack).call("POST", f"/payments/{quote(payment_id, safe='')}/refunds", body)
    if answer.replayed:
        show.note(f"{id} was already accepted")
    _print(answer.body, json)


@app.command()
def approve(context: typer.Context, refund_id: RefundId, yes: Yes = False, json: Json = False) -> None:
    """Approve a refund that another user requested, so that it is sent. Log in as an admin."""
    _decide(context, refund_id, "approve", yes=yes, json=json)


@app.command()
def reject(context: typer.Context, refund_id: RefundId, yes: Yes = False, json: Json = False) -> None:
    """Permanently reject a refund that another user requested. Nothing is refunded. Log in as an admin."""
    _decide(context, refund_id, "reject", yes=yes, json=json)


def _decide(context: typer.Context, refund_id: str, verb: str, *, yes: bool, json: bool) -> None:
    stack, path = stack_of(context), f"/refunds/{quote(refund_id, safe='')}"
    api = Api(stack)
    if not yes:
        refund = api.call("GET", path).body
        if refund["status"] == RefundStatus.PENDING_APPROVAL:
            amount = f"{refund['amount']} {refund['currency']}"
            what = f"{refund_id} of {amount} for payment {refund['payment_id']} in {stack.name} waits for approval"
            prompts.confirm(f"{what}. {verb.capitalize()} it?", otherwise=f"{what}; {verb} it")
    answer = api.call("POST", f"{path}/{verb}")
    if answer.replayed:
        show.note(f"you made this decision on {refund_id} before")
    _print(answer.body, json)


@app.command("show")
def show_refund(context: typer.Context, refund_id: RefundId, json: Json = False) -> None:
    """Show a refund with its history."""
    _print(Api(stack_of(context)).call("GET", f"/refunds/{quote(refund_id, safe='')}").body, json)


@app.command("list")
def list_refunds(
    context: typer.Context,
    payment: Annotated[str | None, typer.Option(metavar="ID", help="The refunds of this payment.")] = None,
    status: Annotated[str | None, typer.Option(help="Those that came to this status on --day: failed")] = None,
    day: Annotated[str | None, typer.Option(metavar="DATE", help="A day in UTC: 2026-11-21. Default: today.")] = None,
    attention: Annotated[bool, typer.Option("--attention", help="Those that an operator must look at.")] = False,
    approval: Annotated[bool, typer.Option("--approval", help="Those that an admin must approve or reject.")] = False,
    json: Json = False,
) -> None:
    """List the refunds of a payment, those of a status and day, or those that an operator or an admin must look at."""
    stack = stack_of(context)
    if approval:
        found = [_row_of(refund) for refund in _listed(context, Kind.REFUND_APPROVAL, Kind.REFUND_ATTENTION)]
        found = [refund for refund in found if refund["status"] == RefundStatus.PENDING_APPROVAL]
    elif attention:
        found = [_row_of(refund) for refund in _listed(context, Kind.REFUND_ATTENTION)]
    elif payment:
        found = Api(stack).call("GET", f"/payments/{quote(payment, safe='')}/refunds").body["refunds"]
    else:
        query = {"status": status or RefundStatus.PENDING, "limit": str(PAGE)} | ({"day": day} if day else {})
        page = Api(stack).call("GET", f"/refunds?{urlencode(query)}").body
        found = page["refunds"]
        if page.get("next_cursor"):
            show.note(f"there are more than {PAGE}")
    if json:
        show.as_json({"refunds": found})
        return
    show.table(f"refunds in {stack.name}", COLUMNS, map(_row, found))
    for refund in found if attention else ():
        show.line(f"{refund['refund_id']}: {_what_to_do(refund)}")


@app.command()
def done(
    context: typer.Context,
    refund_id: RefundId,
    note: Annotated[str, typer.Option(metavar="TEXT", help="What you did, for the audit log.")],
    json: Json = False,
) -> None:
    """Take a refund off the operators' list, once its payer has the money or both sides agree."""
    stack = stack_of(context)
    try:
        refund = acknowledge(
            refund_id,
            by=adapters.operator(stack),
            message=note,
            payments=adapters.payments(stack),
            refunds=adapters.refunds(stack),
            at=utc_now(),
        )
    except (NothingToDo, RefundNotStored) as nothing:
        raise Failure(str(nothing)) from None
    except VersionConflict:
        raise Failure(f"{refund_id} changed at the same moment; look at it again") from None
    _print(_row_of(refund), json)


def _listed(context: typer.Context, *kinds: Kind) -> list[Refund]:
    refunds = adapters.refunds(stack_of(context))
    listed = [row_id for kind in kinds for row_id, _ in refunds.due(kind, datetime.max.replace(tzinfo=UTC))]
    found = [refund for refund_id in listed if (refund := refunds.get(refund_id))]
    return sorted(found, key=lambda refund: refund.created_at)


def _what_to_do(refund: Mapping[str, Any]) -> str:
    if refund["status"] == RefundStatus.PENDING_APPROVAL:
        return WAITS_FOR_APPROVAL
    return WHAT_TO_DO.get(refund.get("attention", ""), "compare it with Stripe")


def _row_of(refund: Refund) -> dict[str, Any]:
    return {
        "refund_id": refund.refund_id,
        "payment_id": refund.payment_id,
        "status": refund.status.value,
        "amount": refund.money.decimal,
        "currency": refund.money.currency,
        "attention": refund.attention,
        "why": {"code": refund.code, "message": refund.message} if refund.code else {},
        "updated_at": refund.updated_at,
    }


def _row(refund: Mapping[str, Any]) -> tuple[object, ...]:
    return (
        refund["refund_id"],
        refund["payment_id"],
        refund["status"],
        f"{refund['amount']} {refund['currency']}",
        refund.get("attention", ""),
        refund.get("why", {}).get("code", ""),
        refund["updated_at"],
    )


def _print(refund: Mapping[str, Any], json: bool) -> None:
    if json:
        show.as_json(refund)
        return
    why = refund.get("why") or {}
    show.facts(
        [
            ("refund", refund["refund_id"]),
            ("payment", refund["payment_id"]),
            ("status", refund["status"]),
            ("amount", f"{refund['amount']} {refund['currency']}"),
            ("reason", refund.get("reason", "")),
            ("why", f"{why['message']} ({why['code']})" if why else ""),
            ("attention", refund.get("attention", "")),
            ("updated at", refund["updated_at"]),
        ]
    )
    for change in refund.get("history", ()):
        reason = change.get("reason")
        because = f": {reason['message']} ({reason['code']})" if reason else ""
        show.line(f"{change['at']} {change['status']} by {change['actor']}{because}")
