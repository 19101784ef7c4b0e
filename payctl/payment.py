"""payctl pay, payctl status."""

import secrets
import time
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from payctl import exit_codes, show
from payctl.api import Answer, Api, NoAnswer, Refused
from payctl.deadline import Deadline
from payctl.failures import Exit, Failure
from payctl.options import Json, Timeout, stack_of
from payctl.stack import Stack
from payments.domain.payment import InvalidRequest, parse_request
from payments.domain.statuses import OPEN

POLL_SECONDS = (0.1, 0.2, 0.3, 0.5, 1.0)
"""Waits between two reads of a payment. The last one repeats."""


def pay(
    context: typer.Context,
    amount: Annotated[str, typer.Option(help="In major units, with at most the currency's number of decimals: 99.99")],
    currency: Annotated[str, typer.Option(help="ISO 4217 code: USD")],
    payment_id: Annotated[
        str | None,
        typer.Option("--id", help="Your payment id, the permanent idempotency key. Default: a random id."),
    ] = None,
    customer: Annotated[str, typer.Option(metavar="ID", help="Charge this customer's default payment method.")] = "",
    method: Annotated[str, typer.Option(help="A payment method at the gateway, for example pm_card_visa.")] = "",
    description: Annotated[str, typer.Option(help="A text for your records and the gateway's.")] = "",
    metadata: Annotated[list[str] | None, typer.Option(metavar="KEY=VALUE", help="May be repeated.")] = None,
    wait: Annotated[bool, typer.Option(help="Wait for the outcome, or end when the payment is accepted.")] = True,
    timeout: Timeout = 60,
    json: Json = False,
) -> None:
    """Submit a payment and wait for its outcome. Repeating an --id does not charge it again."""
    stack = stack_of(context)
    payment_id = payment_id or f"pay_{secrets.token_hex(10)}"
    body: dict[str, Any] = {
        "payment_id": payment_id,
        "amount": amount,
        "currency": currency,
        "customer_id": customer,
        "payment_method": method,
        "description": description,
        "metadata": _pairs(metadata or []),
    }
    body = {name: value for name, value in body.items() if value}
    _check(body)
    api = Api(stack)
    answer = _submit(api, body)
    if answer.replayed:
        show.note(f"{payment_id} was already accepted before; it is not charged again")
    if not wait:
        _accepted(stack, answer.body, json)
        return
    with show.err.status(f"{payment_id}: waiting for its outcome"):
        payment, gave_up = outcome(api, payment_id, timeout)
    if json:
        show.as_json(payment)
    else:
        _summary(stack, payment)
    if gave_up:
        raise Failure(
            gave_up,
            details=[
                f"check it again with: payctl status {payment_id}",
                "if payments stay pending, the gateway's key may be missing; set it with: payctl gateway set-key",
            ],
            code=Exit.STILL_OPEN,
        )
    raise typer.Exit(exit_codes.of_payment(payment["status"]))


def status(context: typer.Context, payment_id: str, json: Json = False) -> None:
    """Show a payment: its status, history and references. The exit code is that of its status."""
    stack = stack_of(context)
    payment = Api(stack).payment(payment_id)
    if json:
        show.as_json(payment)
    else:
        _summary(stack, payment)
        show.table(
            "history",
            ("version", "status", "at", "by", "reason"),
            [
                (change["version"], show.status(change["status"]), change["at"], change["actor"], show.reason(change))
                for change in payment["history"]
            ],
        )
    raise typer.Exit(exit_codes.of_payment(payment["status"]))


def outcome(api: Api, payment_id: str, timeout_seconds: float) -> tuple[dict[str, Any], str]:
    """Wait until no workflow processes the payment, or until it does not change for `timeout_seconds`.

    Returns the payment, and why the wait ended before its outcome: "" if it has one.
    """
    deadline = Deadline(timeout_seconds, f"an outcome of {payment_id}")
    waits = iter(POLL_SECONDS)
    while True:
        payment = api.payment(payment_id)
        if payment["status"] not in OPEN:
            return payment, ""
        if deadline.over(progress_of(payment)):
            return payment, deadline.report
        time.sleep(next(waits, POLL_SECONDS[-1]))


def progress_of(payment: Mapping[str, Any]) -> str:
    """How far a payment of the API is: its status and its number of versions."""
    return f"{payment['status']}, version {len(payment['history'])}"


def _submit(api: Api, body: dict[str, Any]) -> Answer:
    try:
        return api.submit(body)
    except (NoAnswer, Refused) as error:
        if isinstance(error, Refused) and error.status < 500:
            raise
        payment_id = body["payment_id"]
        advice = f"submit it again with --id {payment_id}: it is charged at most once"
        raise Failure(
            f"it is not known whether {payment_id} was accepted: {error.message}", details=[*error.details, advice]
        ) from None


def _pairs(arguments: list[str]) -> dict[str, str]:
    pairs = [argument.partition("=") for argument in arguments]
    for argument, (key, equals, _) in zip(arguments, pairs, strict=True):
        if not key or not equals:
            raise Failure(f"--metadata {argument!r} is not KEY=VALUE; write --metadata order=A-17", code=Exit.USAGE)
    return {key: value for key, _, value in pairs}


def _check(body: dict[str, Any]) -> None:
    """Apply the API's own rules before sending: a card number never leaves this machine."""
    try:
        parse_request(body)
    except InvalidRequest as invalid:
        errors = [f"{error.field}: {error.message}" for error in invalid.errors]
        raise Failure("the payment was not sent: some values are not valid", details=errors, code=Exit.USAGE) from None


def _accepted(stack: Stack, answer: dict[str, Any], json: bool) -> None:
    if json:
        show.as_json(answer)
        return
    show.facts(
        [
            ("payment", answer["payment_id"]),
            ("accepted at", answer["accepted_at"]),
            ("environment", stack.name),
            ("outcome", f"payctl status {answer['payment_id']}"),
        ]
    )


def _summary(stack: Stack, payment: dict[str, Any]) -> None:
    references = payment["references"]
    batch = f"{references['batch_id']}, line {references['batch_line']}" if "batch_id" in references else ""
    show.facts(
        [
            ("status", show.status(payment["status"])),
            ("reason", show.reason(payment)),
            ("payment", payment["payment_id"]),
            ("amount", f"{payment['amount']} {payment['currency']}"),
            ("refunded", f"{payment['amount_refunded']} {payment['currency']}" if "amount_refunded" in payment else ""),
            ("customer", payment.get("customer_id", "")),
            ("description", payment.get("description", "")),
            ("metadata", ", ".join(f"{key}={value}" for key, value in payment.get("metadata", {}).items())),
            ("gateway", references.get("gateway", "")),
            ("gateway reference", references.get("gateway_reference", "")),
            ("batch", batch),
            ("updated at", payment["updated_at"]),
            ("environment", stack.name),
        ]
    )
