"""payctl dlq."""

from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from typing import Annotated

import typer

from payctl import at_gateway, ports, show
from payctl import prompts as asking
from payctl.dead_letter_triage import MALFORMED, DeadLetterTriage, TriagedLetter
from payctl.dead_letters import DeadLetterQueue
from payctl.failures import Exit, Failure
from payctl.options import Json, stack_of
from payctl.prompts import Yes
from payctl.stack import Stack
from payments.application.replay import Action, Decision, reason_class, restart
from payments.domain.clock import utc_now
from payments.ports.payment_store import VersionConflict

app = typer.Typer(help="Payments not dispatched and files not taken in: the dead-letter queue.", no_args_is_help=True)

PaymentId = Annotated[str | None, typer.Option("--id", metavar="PAYMENT", help="The messages of this payment.")]
PLAN = ("payment or file", "status", "why it failed", "what to do", "because")
MOVED_ON = "it changed at this very moment; look again"


@app.command("list")
def list_letters(
    context: typer.Context,
    limit: Annotated[int | None, typer.Option(min=1, help="Look at so many at most; without it at all.")] = None,
    ask: Annotated[bool, typer.Option("--gateway/--no-gateway", help="Ask the gateway about each payment.")] = True,
    json: Json = False,
) -> None:
    """List what lies in the dead-letter queue: since when, why, and how its payment stands. Uses nothing up."""
    stack = stack_of(context)
    cases = DeadLetterTriage(stack).all(limit)
    if ask:
        cases = _with_gateway(stack, cases)
    if json:
        show.as_json([case.as_json() | {"gateway": str(case.says) if case.says else None} for case in cases])
        return
    if not cases:
        show.note(f"the dead-letter queue of {stack.name} is empty")
        return
    show.table(
        f"dead letters in {stack.name}",
        ("payment or file", "queued", "received", "why it failed", "status", "the gateway says", "a replay would"),
        [
            (
                case.subject,
                case.letter.sent_at,
                case.letter.received,
                case.reason,
                show.status(case.status) if case.status else "not stored",
                case.says or "",
                case.decision.action,
            )
            for case in cases
        ],
    )
    _tell_discardable(cases)
    classes = Counter(reason_class(case.reason) for case in cases)
    show.note("by error: " + ", ".join(f"{name} {count}" for name, count in classes.most_common()))


@app.command()
def replay(
    context: typer.Context,
    payment_id: PaymentId = None,
    every: Annotated[bool, typer.Option("--all", help="All messages.")] = False,
    reason: Annotated[
        str | None, typer.Option(metavar="WORD", help="Those of an error by name: ThrottlingException, LookupError, …")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")] = False,
    yes: Yes = False,
    json: Json = False,
) -> None:
    """Have payments dispatched again, or asked about at the gateway first, and files taken in. Safe after any time."""
    if [payment_id is not None, every, reason is not None].count(True) != 1:
        raise Failure("say which: --id PAYMENT, --reason WORD or --all", code=Exit.USAGE)
    stack = stack_of(context)
    found = DeadLetterTriage(stack).all()
    cases = [
        case
        for case in found
        if every
        or case.letter.payment_id == payment_id
        or (reason is not None and reason_class(case.reason).lower() == reason.lower())
    ]
    if not cases and not every:
        raise _nothing_of(stack, payment_id or f"the error {reason}", found)
    if not json:
        _tell_plan(stack, cases)
    counts = Counter(case.decision.action for case in cases)
    planned = [case for case in cases if case.decision.action is not Action.REFUSE]
    done: list[TriagedLetter] = []
    if planned and not dry_run:
        what = ", ".join(f"{counts[action]} to {action}" for action in counts if action is not Action.REFUSE)
        what = f"{what} in {stack.name}"
        if not yes:
            asking.confirm(f"{what}. Go on?", otherwise=f"{what}; go on")
        done = _carried_out(stack, planned, _replayer(stack))
    _tell_done(cases, done, json, dry_run=dry_run)


@app.command()
def discard(
    context: typer.Context,
    payment_id: PaymentId = None,
    message: Annotated[str | None, typer.Option(metavar="ID", help="The message of this id.")] = None,
    yes: Yes = False,
    json: Json = False,
) -> None:
    """Delete a message that nothing needs: a malformed one, or one whose payment is settled. Refuses all others."""
    if (payment_id is None) == (message is None):
        raise Failure("say which: --id PAYMENT or --message ID", code=Exit.USAGE)
    stack = stack_of(context)
    found = DeadLetterTriage(stack).all()
    cases = [
        _to_discard(case) for case in found if case.letter.payment_id == payment_id or case.letter.message_id == message
    ]
    if not cases:
        raise _nothing_of(stack, payment_id or f"the id {message}", found)
    planned = [case for case in cases if not case.decision.needed]
    if not json:
        _tell_plan(stack, cases)
    if planned and not yes:
        what = f"{len(planned)} of {len(cases)} messages to delete in {stack.name}, for good"
        asking.confirm(f"{what}. Go on?", otherwise=f"{what}; go on")
    done = _carried_out(stack, planned, lambda _: "deleted") if planned else []
    _tell_done(cases, done, json)


def _with_gateway(stack: Stack, cases: Sequence[TriagedLetter]) -> list[TriagedLetter]:
    try:
        gateway = at_gateway.gateway(stack)
    except Failure as failure:
        show.note(failure.message)
        return list(cases)
    return [
        replace(
            case,
            says=at_gateway.says(gateway, case.letter.payment_id, at_gateway.reference(stack, case.payment))
            if case.letter.payment_id
            else None,
        )
        for case in show.progress("asking the gateway", cases)
    ]


def _nothing_of(stack: Stack, whose: str, found: Sequence[TriagedLetter]) -> Failure:
    errors = sorted({reason_class(case.reason) for case in found})
    return Failure(
        f"no message of {whose} lies in the dead-letter queue of {stack.name}",
        details=[f"{len(found)} others do, by these errors: {', '.join(errors)}"] if found else ["it is empty"],
    )


def _to_discard(case: TriagedLetter) -> TriagedLetter:
    """The case with a decision in words of its own: a message that is needed is refused, and told what to do."""
    if not case.decision.needed:
        return case
    which = f"--id {case.letter.payment_id}" if case.letter.payment_id else "--all"
    advice = f"needed: payctl dlq replay {which}"
    return replace(case, decision=Decision(Action.REFUSE, advice, needed=True))


def _replayer(stack: Stack) -> Callable[[TriagedLetter], str]:
    """Gives what replays one message, before it is deleted, and says what it did. Raises VersionConflict."""
    queue, store, workflow = stack.client("sqs"), ports.payments(stack), ports.workflow(stack)
    split = ports.split(stack)

    def replayed(case: TriagedLetter) -> str:
        if case.decision.action is Action.SPLIT:
            split(case.letter.event)
            return "given to split"
        if case.decision.action is Action.REQUEUE or case.payment is None:
            queue.send_message(QueueUrl=stack["payment_queue_url"], MessageBody=case.letter.body)
            return "requeued"
        execution_suffix = restart(case.payment, store=store, workflow=workflow, at=utc_now())
        return f"execution {case.payment.payment_id}.{execution_suffix} started"

    return replayed


def _carried_out(
    stack: Stack, planned: Sequence[TriagedLetter], act: Callable[[TriagedLetter], str]
) -> list[TriagedLetter]:
    """Take each planned message from the queue again, act on it if the decision still holds, and delete it.

    Gives the cases as they came out: what no longer held is refused.
    """
    waiting = {case.letter.message_id: case for case in planned}
    queue, examiner = DeadLetterQueue(stack), DeadLetterTriage(stack)
    done = []
    with closing(queue.take()) as letters, show.bar("working through the queue", len(waiting)) as advance:
        for letter in letters:
            plan = waiting.pop(letter.message_id, None)
            if plan is None:
                continue
            now = examiner.case(letter, plan.reason)
            try:
                if (now.decision.action, now.decision.needed) != (plan.decision.action, plan.decision.needed):
                    raise VersionConflict
                what = act(now)
                queue.delete(letter)
                done.append(replace(now, done=what))
            except VersionConflict:
                done.append(replace(now, decision=Decision(Action.REFUSE, MOVED_ON)))
            advance()
            if not waiting:
                break
    gone = Decision(Action.REFUSE, "the message is in somebody else's hands, or gone; look again")
    return done + [replace(case, decision=gone) for case in waiting.values()]


def _tell_plan(stack: Stack, cases: Sequence[TriagedLetter]) -> None:
    if not cases:
        show.note(f"the dead-letter queue of {stack.name} is empty")
        return
    rows = [
        (
            case.subject,
            show.status(case.status) if case.status else "not stored",
            case.reason,
            case.decision.action,
            case.decision.why,
        )
        for case in cases
    ]
    show.table(f"dead letters in {stack.name}", PLAN, rows)
    _tell_discardable(cases)


def _tell_discardable(cases: Sequence[TriagedLetter]) -> None:
    """How to delete what nothing needs; a malformed message has no other name than its own."""
    for case in (case for case in cases if not case.decision.needed):
        letter = case.letter
        which = f"--id {letter.payment_id}" if letter.payment_id else f"--message {letter.message_id}"
        what = "a malformed message" if case.subject == MALFORMED else case.subject
        show.note(f"nothing needs {what}: payctl dlq discard {which}")


def _tell_done(
    cases: Sequence[TriagedLetter], done: Sequence[TriagedLetter], json: bool, *, dry_run: bool = False
) -> None:
    """Say what became of each, and end with SOME_REFUSED unless all went, or would go, as asked."""
    came_out = {case.letter.message_id: case for case in done}
    last = [came_out.get(case.letter.message_id, case) for case in cases]
    if json:
        show.as_json([case.as_json() | {"done": case.done} for case in last])
    else:
        for case in done:
            which = case.letter.message_id if case.subject == MALFORMED else case.subject
            show.out.print(f"{which}: {case.done or case.decision.why}", markup=False, soft_wrap=True)
    if any(not case.done and (case.decision.action is Action.REFUSE or not dry_run) for case in last):
        raise typer.Exit(Exit.SOME_REFUSED)
