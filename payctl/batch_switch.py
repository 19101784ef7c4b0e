"""payctl batch pause, resume and cancel."""

import typer

from payctl import adapters, batch_files, batch_view, prompts, show
from payctl.failures import Exit, Failure
from payctl.options import Json, Timeout, Watch, stack_of
from payctl.prompts import Yes
from payctl.stack import Stack
from payments.application.batch.switch_batch import NotSwitched, UnknownBatch, switch_batch
from payments.domain.batch.state import Batch
from payments.domain.batch.switch import SwitchState
from payments.domain.clock import utc_now


def add_to(app: typer.Typer) -> None:
    """Add the commands to `payctl batch`."""
    app.command()(pause)
    app.command()(resume)
    app.command()(cancel)


def pause(context: typer.Context, batch_id: str, json: Json = False) -> None:
    """Pause one batch: no payment of it starts until you resume it. Payments that were started continue."""
    stack = stack_of(context)
    _print_result(stack, _switched(stack, batch_id, SwitchState.PAUSED), json)


def resume(context: typer.Context, batch_id: str, json: Json = False) -> None:
    """Resume a paused batch. Recovery queues its payments again, beginning within a minute."""
    stack = stack_of(context)
    _print_result(stack, _switched(stack, batch_id, SwitchState.RUNNING), json)


def cancel(
    context: typer.Context,
    batch_id: str,
    yes: Yes = False,
    watch: Watch = False,
    timeout: Timeout = 300,
    json: Json = False,
) -> None:
    """Cancel one batch permanently. Its payments that were not sent are rejected; those that were sent are not undone.

    Nothing of the batch is charged any more once its status is `canceled`; --watch waits for that.
    """
    stack = stack_of(context)
    if not yes:
        what = f"payments of batch {batch_id} in {stack.name} that were not sent are rejected permanently"
        prompts.confirm(f"{what.capitalize()}. Cancel the batch?", otherwise=f"{what}; cancel the batch")
    batch = _switched(stack, batch_id, SwitchState.CANCELED)
    adapters.report(stack)({"batch_id": batch_id})  # recovery would start it within a minute
    if watch:
        batch, gave_up = batch_view.watched(stack, batch_id, timeout)
        if gave_up:
            raise Failure(
                gave_up,
                details=[f"continue watching with: payctl batch show {batch_id} --watch"],
                code=Exit.STILL_OPEN,
            )
    else:
        show.note(f"it is complete when its status is canceled: payctl batch show {batch_id} --watch")
    _print_result(stack, batch, json)


def _switched(stack: Stack, batch_id: str, state: SwitchState) -> Batch:
    """Set the switch. Raises Failure with what to do instead."""
    try:
        return switch_batch(
            batch_id, state, by=adapters.operator(stack), batches=adapters.batches(stack), clock=utc_now
        )
    except UnknownBatch:
        raise Failure(f"there is no batch {batch_id} in {stack.name}; list them with: payctl batch list") from None
    except NotSwitched as refused:
        why = "this is final" if refused.batch.switch.is_canceled else "every payment of it has an outcome"
        raise Failure(f"{refused}: {why}", details=[f"see it with: payctl batch show {batch_id}"]) from None


def _print_result(stack: Stack, batch: Batch, json: bool) -> None:
    if json:
        show.as_json(batch_view.as_json(batch, batch_view.held_by(stack, batch)))
        return
    rejected, more = batch_files.rejected_rows(stack, batch, limit=batch_view.REJECTED_SHOWN)
    batch_view.one(stack, batch, rejected, more)
