"""payctl breaker, also available under its older name `payctl lane`."""

from dataclasses import asdict
from typing import Annotated, Any

import typer

from payctl import adapters, prompts, show
from payctl.failures import Exit, Failure
from payctl.options import Json, stack_of
from payctl.prompts import Yes
from payctl.stack import Stack
from payments.domain.batch_breaker import BreakerState, PausedBy
from payments.domain.clock import utc_now

app = typer.Typer(help="The batch breaker: show its state, pause and resume batch payments.", no_args_is_help=True)

LONGEST_REASON = 200
_JSON_NAMES = {"probe": "canary"}
"""Field of BreakerState → its name in the JSON output, where they differ."""


@app.command()
def status(context: typer.Context, json: Json = False) -> None:
    """Show whether batch payments are paused, by whom and why, and how many messages are waiting."""
    _print_status(stack_of(context), json)


@app.command()
def pause(
    context: typer.Context,
    reason: Annotated[str, typer.Option(metavar="TEXT", help="The reason. `payctl breaker status` shows it.")],
    yes: Yes = False,
    json: Json = False,
) -> None:
    """Pause batch payments until an operator resumes them. REST payments continue."""
    stack = stack_of(context)
    reason = reason.strip()
    if not 1 <= len(reason) <= LONGEST_REASON or not reason.isprintable():
        raise Failure(f"--reason takes 1 to {LONGEST_REASON} printable characters on one line", code=Exit.USAGE)
    if not yes:
        prompts.confirm(
            f"No batch payment starts in {stack.name} until you resume the batch breaker. Pause it?",
            otherwise=f"no batch payment starts in {stack.name} until the batch breaker is resumed; pause it",
        )
    if not adapters.breaker(stack).pause(PausedBy.OPERATOR, reason, utc_now()):
        show.note("the batch breaker is already paused by an operator; the first reason is kept")
    adapters.delivery(stack).switch(on=False)
    _print_status(stack, json)


@app.command()
def resume(context: typer.Context, json: Json = False) -> None:
    """Resume batch payments after a pause by an operator; without one, after a pause by the gateway."""
    stack = stack_of(context)
    store = adapters.breaker(stack)
    if not store.resume(utc_now()):
        show.note("the batch breaker was not paused")
    if (state := store.state()).by_gateway:
        show.note("the operator's pause is over; the gateway is still a cause, and its pause ends automatically")
    adapters.delivery(stack).switch(on=not state.paused)
    _print_status(stack, json)


def _print_status(stack: Stack, json: bool) -> None:
    state = adapters.breaker(stack).state()
    mapping = stack.client("lambda").get_event_source_mapping(UUID=stack["dispatch_mapping_id"])
    waiting, under_way = _counts(stack, "payment_queue_url")
    dead, dead_in_flight = _counts(stack, "dead_letter_queue_url")
    if json:
        show.as_json(
            {
                "environment": stack.name,
                "paused": state.paused,
                **{_JSON_NAMES.get(name, name): text for name, text in asdict(state).items()},
                "delivery": mapping["State"],
                "messages_waiting": waiting,
                "messages_under_way": under_way,
                "dead_letters": dead + dead_in_flight,
            }
        )
        return
    both = state.by_gateway and state.by_operator
    show.facts(
        [
            ("batch payments", show.breaker(state)),
            ("paused by", state.paused_by),
            ("reason", state.reason),
            ("since", state.since),
            *([("also paused by", f"operator since {state.operator_since}: {state.operator_reason}")] if both else []),
            ("probe payment", state.probe),
            ("delivery", mapping["State"]),
            ("messages waiting", waiting),
            ("messages in flight", under_way),
            ("dead letters", dead + dead_in_flight),
            ("environment", stack.name),
        ]
    )
    for line in _advice(state, dead + dead_in_flight):
        show.note(line)


def _advice(state: BreakerState, dead_letters: int) -> list[str]:
    advice = []
    if state.paused_by == PausedBy.GATEWAY:
        advice.append("fix the gateway's key or account; the breaker resumes automatically after a successful payment")
    if state.paused_by == PausedBy.OUTAGE:
        advice.append("the gateway is out of reach; the breaker resumes automatically after a successful payment")
    if state.by_operator:
        advice.append("resume batch payments with: payctl breaker resume")
    if dead_letters:
        advice.append("list the dead letters with: payctl dlq list")
    return advice


def _counts(stack: Stack, queue: str) -> tuple[int, int]:
    """The numbers of visible and in-flight messages of a queue. SQS updates both with a delay of some seconds."""
    names: Any = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    counts = stack.client("sqs").get_queue_attributes(QueueUrl=stack[queue], AttributeNames=names)["Attributes"]
    waiting, in_flight = (int(counts[name]) for name in names)
    return waiting, in_flight
