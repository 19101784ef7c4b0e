"""The command line: the list of commands, the options that all commands share, and the exit codes."""

from functools import cache, partial
from pathlib import Path
from typing import Annotated, Any, override

import typer
from typer.core import TyperGroup

from payctl import (
    audit,
    backup,
    backup_find,
    backup_restore,
    backup_resume,
    batch,
    batch_retry,
    batch_switch,
    breaker,
    cancel,
    customer,
    dlq,
    explain,
    gateway,
    login,
    migrate,
    payment,
    payment_list,
    recheck,
    refund,
    retry,
    review,
    show,
    totals,
    user,
)
from payctl.failures import MEANING, Failure, from_boto3
from payctl.options import Json, stack_of
from payctl.stack import find

EXIT_CODES = "\n\n".join(f"{code.value}  {meaning}" for code, meaning in MEANING.items())


class ErrorReporter(TyperGroup):
    """Ends a failed command with a message on standard error and an exit code, without a traceback."""

    @override
    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except Failure as raised:
            failure = raised
        except Exception as error:
            found = from_boto3(error)
            if found is None:
                raise
            failure = found
        show.failure(failure)
        raise typer.Exit(failure.code)


app = typer.Typer(
    cls=ErrorReporter,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    epilog=f"[bold]Exit codes[/bold]\n\n{EXIT_CODES}",
)


@app.callback()
def payctl(
    context: typer.Context,
    outputs: Annotated[
        Path | None,
        typer.Option(
            envvar="PAYCTL_OUTPUTS",
            metavar="FILE",
            help="The stack's outputs as JSON, written by `make up`, `cdktf deploy --outputs-file` or "
            "`terraform output -json`. Default: .local/outputs.json, then outputs.json, in the project folder.",
        ),
    ] = None,
    suffix: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Select the environment if the file holds several: dev, prod, …"),
    ] = None,
) -> None:
    """Send payments, follow batches and operate the payment backend, on AWS or on this machine."""
    context.obj = cache(partial(find, outputs, suffix))


app.command()(payment.pay)
app.command()(payment.status)
one_payment = typer.Typer(
    help="Find payments, inspect one, check it at the gateway, cancel it, send it again if it failed, "
    "approve or reject it if it is held.",
    no_args_is_help=True,
)
one_payment.command("list")(payment_list.list_payments)
one_payment.command()(totals.totals)
one_payment.command()(explain.explain)
one_payment.command()(recheck.recheck)
one_payment.command("cancel")(cancel.cancel_payment)
one_payment.command("retry")(retry.retry_payment)
one_payment.command()(review.approve)
one_payment.command()(review.reject)
app.add_typer(one_payment, name="payment")
app.add_typer(refund.app, name="refund")
batch_switch.add_to(batch.app)
batch.app.command("retry")(batch_retry.retry_batch)
app.add_typer(batch.app, name="batch")
backup.app.command("find")(backup_find.find_in_backup)
backup.app.command("restore")(backup_restore.restore)
backup.app.command("resume")(backup_resume.resume)
app.add_typer(backup.app, name="backup")
app.add_typer(audit.app, name="audit")
app.add_typer(customer.app, name="customer")
app.add_typer(dlq.app, name="dlq")
app.add_typer(gateway.app, name="gateway")
app.add_typer(breaker.app, name="breaker")
app.add_typer(breaker.app, name="lane", help="The older name of `payctl breaker`.")
app.add_typer(user.app, name="user")
app.command()(migrate.migrate)
app.command()(login.login)
app.command()(login.logout)
app.command()(login.token)


@app.command()
def outputs(context: typer.Context, json: Json = False) -> None:
    """Print the stack's outputs: addresses and resource names."""
    stack = stack_of(context)
    if json:
        show.as_json(stack.outputs)
        return
    show.facts(sorted(stack.outputs.items()))
    show.note(f"from {stack.path}")
