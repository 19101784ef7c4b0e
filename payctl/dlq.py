"""payctl dlq."""

from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from typing import Annotated

import typer

from payctl import adapters, at_gateway, prompts, show
from payctl.dead_letter_triage import MALFORMED, DeadLetterTriage, TriagedLetter
from payctl.dead_letters import DeadLetterQueue
from payctl.failures import Exit, Failure
from payctl.options import Json, stack_of
from payctl.prompts import Yes
from payctl.stack import Stack
from payments.application.replay import Action, Decision, reason_class, restart
from payments.domain.clock import utc_now
from payments.ports.payment_store import VersionConflict

app = typer.Typer(
    help="The dead-letter queue: payments that were not dispatched and files that were not read.", no_args_is_help=True
)

PaymentId = Annotated[str | None, typer.Option("--id", metavar="PAYMENT", help="Select the messages of this payment.")]
PLAN = ("payment or file", "status", "error", "action", "reason", "recovery")
CHANGED = "it changed in the meantime; list it again"


@app.command("list")
def list_letters(
    context: typer.Context,
    limit: Annotated[int | None, typer.Option(min=1, help="Maximum number of messages. Default: all.")] = None,
    ask: Annotated[bool, typer.Option("--gateway/--no-gateway", help="Query the gateway for each payment.")] = True,
    json: Json = False,
) -> None:
    """List the messages in the dead-letter queue, with time, error and payment status. Changes nothing."""
    stack = stack_of(context)
    triaged = DeadLetterTriage(stack).all(limit)
    if ask:
        triaged = _with_gateway(stack, triaged)
    if json:
        show.as_json([one.as_json() | {"gateway": str(one.says) if one.says else None} for one in triaged])
        return
    if not triaged:
        show.note(f"the dead-letter queue of {stack.name} is empty")
        return
    show.table(
        f"dead letters in {stack.name}",
        ("payment or file", "queued", "received", "error", "status", "at the gateway", "replay action", "recovery"),
        [
            (
                one.subject,
                one.letter.sent_at,
                one.letter.received,
                one.reason,
                show.status(one.status) if one.status else "not stored",
                one.says or "",
                one.decision.action,
                one.decision.recovery,
            )
            for one in triaged
        ],
    )
    _print_discardable(triaged)
    classes = Counter(reason_class(one.reason) for one in triaged)
    show.note("by error: " + ", ".join(f"{name} {count}" for name, count in classes.most_common()))


@app.command()
def replay(
    context: typer.Context,
    payment_id: PaymentId = None,
    every: Annotated[bool, typer.Option("--all", help="Select all messages.")] = False,
    reason: Annotated[
        str | None,
        typer.Option(metavar="WORD", help="Select messages by error name: ThrottlingException, NotStored, …"),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the plan, and change nothing.")] = False,
    yes: Yes = False,
    json: Json = False,
) -> None:
    """Dispatch payments again, after a check at the gateway where needed, and read files again. Safe at any time."""
    if [payment_id is not None, every, reason is not None].count(True) != 1:
        raise Failure("select messages with one of --id PAYMENT, --reason WORD and --all", code=Exit.USAGE)
    stack = stack_of(context)
    found = DeadLetterTriage(stack).all()
    selected = [
        one
        for one in found
        if every
        or one.letter.payment_id == payment_id
        or (reason is not None and reason_class(one.reason).lower() == reason.lower())
    ]
    if not selected and not every:
        raise _no_match(stack, payment_id or f"the error {reason}", found)
    if not json:
        _print_plan(stack, selected)
    counts = Counter(one.decision.action for one in selected)
    planned = [one for one in selected if one.decision.action is not Action.REFUSE]
    done: list[TriagedLetter] = []
    if planned and not dry_run:
        what = ", ".join(f"{counts[action]} to {action}" for action in counts if action is not Action.REFUSE)
        what = f"{what} in {stack.name}"
        if not yes:
            prompts.confirm(f"{what}. Continue?", otherwise=f"{what}; confirm")
        done = _carry_out(stack, planned, _replayer(stack))
    _print_done(selected, done, json, dry_run=dry_run)


@app.command()
def discard(
    context: typer.Context,
    payment_id: PaymentId = None,
    message: Annotated[str | None, typer.Option(metavar="ID", help="Select the message with this id.")] = None,
    every: Annotated[bool, typer.Option("--all", help="Select all messages that are no longer needed.")] = False,
    yes: Yes = False,
    json: Json = False,
) -> None:
    """Delete messages that are no longer needed, after a confirmation. It deletes no payment, no file and no batch.

    A message is not needed if it is malformed, if its payment is settled, or if split took its file. It refuses all
    others: a payment's or a file's only trace would be lost.
    """
    if [payment_id is not None, message is not None, every].count(True) != 1:
        raise Failure("select messages with one of --id PAYMENT, --message ID and --all", code=Exit.USAGE)
    stack = stack_of(context)
    found = DeadLetterTriage(stack).all()
    selected = [
        _to_discard(one)
        for one in found
        if (every and not one.decision.needed)
        or (not every and (one.letter.payment_id == payment_id or one.letter.message_id == message))
    ]
    if every and (needed := len(found) - len(selected)):
        show.note(f"{needed} of {len(found)} messages are still needed; run: payctl dlq replay --all")
    if not selected and not every:
        raise _no_match(stack, payment_id or f"the id {message}", found)
    planned = [one for one in selected if not one.decision.needed]
    if not json:
        _print_plan(stack, selected)
    if planned and not yes:
        for one in planned:
            show.note(f"message {one.letter.message_id}: {one.discarding}")
        what = f"{len(planned)} of {len(selected)} messages to delete permanently in {stack.name}"
        prompts.confirm(f"{what}, and nothing else. Continue?", otherwise=f"{what}, and nothing else; confirm")
    done = _carry_out(stack, planned, lambda _: "deleted") if planned else []
    _print_done(selected, done, json)


def _with_gateway(stack: Stack, triaged: Sequence[TriagedLetter]) -> list[TriagedLetter]:
    try:
        gateway = at_gateway.gateway(stack)
    except Failure as failure:
        show.note(failure.message)
        return list(triaged)
    return [
        replace(
            one,
            says=at_gateway.says(
                gateway,
                one.letter.payment_id,
                at_gateway.reference(stack, one.payment),
                environment_id=at_gateway.environment_id(stack, one.payment),
            )
            if one.letter.payment_id
            else None,
        )
        for one in show.progress("querying the gateway", triaged)
    ]


def _no_match(stack: Stack, subject: str, found: Sequence[TriagedLetter]) -> Failure:
    errors = sorted({reason_class(one.reason) for one in found})
    return Failure(
        f"the dead-letter queue of {stack.name} has no message of {subject}",
        details=[f"it has {len(found)} other messages, with these errors: {', '.join(errors)}"]
        if found
        else ["it is empty"],
        code=Exit.NONE_FOUND,
    )


def _to_discard(triaged: TriagedLetter) -> TriagedLetter:
    """Replace the decision for a discard: refuse a message that is still needed, and name the command to use."""
    if not triaged.decision.needed:
        return triaged
    which = f"--id {triaged.letter.payment_id}" if triaged.letter.payment_id else "--all"
    lost = " (recovery does not know the file)" if triaged.letter.file else ""
    advice = f"still needed{lost}; run: payctl dlq replay {which}"
    return replace(triaged, decision=Decision(Action.REFUSE, advice, needed=True))


def _replayer(stack: Stack) -> Callable[[TriagedLetter], str]:
    """Returns a function that replays one message and describes what it did. It may raise VersionConflict."""
    queue, store, workflow = stack.client("sqs"), adapters.payments(stack), adapters.workflow(stack)
    split = adapters.split(stack)

    def replay_one(triaged: TriagedLetter) -> str:
        if triaged.decision.action is Action.SPLIT:
            split(triaged.letter.event)
            return "sent to the split function"
        if triaged.decision.action is Action.REQUEUE or triaged.payment is None:
            queue.send_message(QueueUrl=stack["payment_queue_url"], MessageBody=triaged.letter.body)
            return "requeued"
        execution_suffix = restart(triaged.payment, store=store, workflow=workflow, at=utc_now())
        return f"execution {triaged.payment.payment_id}.{execution_suffix} started"

    return replay_one


def _carry_out(
    stack: Stack, planned: Sequence[TriagedLetter], act: Callable[[TriagedLetter], str]
) -> list[TriagedLetter]:
    """Receive each planned message again, act on it if the decision still holds, and delete it.

    Returns the letters with their outcome. A letter whose decision no longer holds is refused.
    """
    waiting = {one.letter.message_id: one for one in planned}
    queue, triage = DeadLetterQueue(stack), DeadLetterTriage(stack)
    done = []
    with closing(queue.take()) as letters, show.bar("processing the queue", len(waiting)) as advance:
        for letter in letters:
            plan = waiting.pop(letter.message_id, None)
            if plan is None:
                continue
            now = triage.triage(letter, plan.reason)
            try:
                if (now.decision.action, now.decision.needed) != (plan.decision.action, plan.decision.needed):
                    raise VersionConflict
                what = act(now)
                queue.delete(letter)
                done.append(replace(now, done=what))
            except VersionConflict:
                done.append(replace(now, decision=Decision(Action.REFUSE, CHANGED)))
            advance()
            if not waiting:
                break
    gone = Decision(Action.REFUSE, "the message is gone, or another consumer holds it; list it again")
    return done + [replace(one, decision=gone) for one in waiting.values()]


def _print_plan(stack: Stack, triaged: Sequence[TriagedLetter]) -> None:
    if not triaged:
        show.note(f"the dead-letter queue of {stack.name} is empty")
        return
    rows = [
        (
            one.subject,
            show.status(one.status) if one.status else "not stored",
            one.reason,
            one.decision.action,
            one.decision.why,
            one.decision.recovery,
        )
        for one in triaged
    ]
    show.table(f"dead letters in {stack.name}", PLAN, rows)
    _print_discardable(triaged)


def _print_discardable(triaged: Sequence[TriagedLetter]) -> None:
    """Print how to delete messages that are not needed. A malformed message is named by its message id."""
    for one in (one for one in triaged if not one.decision.needed):
        letter = one.letter
        which = f"--id {letter.payment_id}" if letter.payment_id else f"--message {letter.message_id}"
        what = "a malformed message" if one.subject == MALFORMED else one.subject
        show.note(f"{what} is no longer needed; delete it with: payctl dlq discard {which}")


def _print_done(
    selected: Sequence[TriagedLetter], done: Sequence[TriagedLetter], json: bool, *, dry_run: bool = False
) -> None:
    """Print each outcome. Exits with SOME_REFUSED unless every message was, or would be, processed."""
    outcomes = {one.letter.message_id: one for one in done}
    last = [outcomes.get(one.letter.message_id, one) for one in selected]
    if json:
        show.as_json([one.as_json() | {"done": one.done} for one in last])
    else:
        for one in done:
            which = one.letter.message_id if one.subject == MALFORMED else one.subject
            show.out.print(show.safe(f"{which}: {one.done or one.decision.why}"), markup=False, soft_wrap=True)
    if any(not one.done and (one.decision.action is Action.REFUSE or not dry_run) for one in last):
        raise typer.Exit(Exit.SOME_REFUSED)
