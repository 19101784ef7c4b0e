"""payctl lane."""

from dataclasses import asdict
from typing import Annotated, Any

import typer

from payctl import ports, show
from payctl import prompts as asking
from payctl.failures import Exit, Failure
from payctl.options import Json, stack_of
from payctl.prompts import Yes
from payctl.stack import Stack
from payments.domain.batch_breaker import BreakerState, PausedBy
from payments.domain.clock import utc_now

app = typer.Typer(help="The batch lane: see how it stands, pause and resume it.", no_args_is_help=True)

LONGEST_REASON = 200
_JSON_NAMES = {"probe": "canary"}
"""Field of BreakerState → its name in the JSON output, where they differ."""


@app.command()
def status(context: typer.Context, json: Json = False) -> None:
    """Show whether the lane is paused, by whom and why, and how many messages wait."""
    _tell(stack_of(context), json)


@app.command()
def pause(
    context: typer.Context,
    reason: Annotated[str, typer.Option(metavar="TEXT", help="Why, for whoever looks at it after you.")],
    yes: Yes = False,
    json: Json = False,
) -> None:
    """Stop starting batch payments until somebody resumes the lane. Payments over REST go on."""
    stack = stack_of(context)
    reason = reason.strip()
    if not 1 <= len(reason) <= LONGEST_REASON or not reason.isprintable():
        raise Failure(f"--reason takes 1 to {LONGEST_REASON} printable characters on one line", code=Exit.USAGE)
    if not yes:
        asking.confirm(
            f"No batch payment of {stack.name} is started until the lane is resumed. Pause it?",
            otherwise=f"no batch payment of {stack.name} is started until the lane is resumed; pause it",
        )
    store = ports.lane(stack)
    before = store.state()
    if before.paused_by == PausedBy.GATEWAY:
        store.resume()  # taken over: a lane that the gateway paused resumes by itself once payments get through
    if not store.pause(PausedBy.OPERATOR, reason, utc_now()):
        show.note("the lane was paused already; its reason stays as it was")
    ports.delivery(stack).switch(on=False)
    _tell(stack, json)


@app.command()
def resume(context: typer.Context, json: Json = False) -> None:
    """Start batch payments again, whoever paused the lane."""
    stack = stack_of(context)
    if not ports.lane(stack).resume():
        show.note("the lane was not paused")
    ports.delivery(stack).switch(on=True)
    _tell(stack, json)


def _tell(stack: Stack, json: bool) -> None:
    state = ports.lane(stack).state()
    mapping = stack.client("lambda").get_event_source_mapping(UUID=stack["dispatch_mapping_id"])
    waiting, under_way = _counts(stack, "payment_queue_url")
    dead, looked_at = _counts(stack, "dead_letter_queue_url")
    if json:
        show.as_json(
            {
                "environment": stack.name,
                "paused": state.paused,
                **{_JSON_NAMES.get(name, name): text for name, text in asdict(state).items()},
                "delivery": mapping["State"],
                "messages_waiting": waiting,
                "messages_under_way": under_way,
                "dead_letters": dead + looked_at,
            }
        )
        return
    show.facts(
        [
            ("lane", show.lane(state)),
            ("paused by", state.paused_by),
            ("why", state.reason),
            ("since", state.since),
            ("sent ahead", state.probe),
            ("delivery", mapping["State"]),
            ("messages waiting", waiting),
            ("under way", under_way),
            ("dead letters", dead + looked_at),
            ("environment", stack.name),
        ]
    )
    for line in _advice(state, dead + looked_at):
        show.note(line)


def _advice(state: BreakerState, dead_letters: int) -> list[str]:
    advice = []
    if state.paused_by == PausedBy.GATEWAY:
        advice.append("mend the gateway's key or account; once a payment gets through, the lane resumes by itself")
    if state.paused_by == PausedBy.OPERATOR:
        advice.append("resume it with: payctl lane resume")
    if dead_letters:
        advice.append("see what lies in the dead-letter queue with: payctl dlq list")
    return advice


def _counts(stack: Stack, queue: str) -> tuple[int, int]:
    """How many messages of a queue wait, and how many somebody has in hand. SQS is some seconds late with both."""
    names: Any = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    counts = stack.client("sqs").get_queue_attributes(QueueUrl=stack[queue], AttributeNames=names)["Attributes"]
    waiting, in_hand = (int(counts[name]) for name in names)
    return waiting, in_hand
