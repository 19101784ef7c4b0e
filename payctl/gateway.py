"""payctl gateway."""

import sys
from typing import Annotated

import typer

from payctl import show
from payctl.failures import Exit, Failure
from payctl.options import Json, stack_of
from payctl.stack import Stack

app = typer.Typer(help="The payment gateway's credentials.", no_args_is_help=True)

SECRET_KEYS = ("sk_", "rk_")
"""How Stripe's secret and restricted keys begin."""


@app.callback()
def _group() -> None:
    """Keeps `set-key` a command of its own while it is the only one."""


@app.command("set-key")
def set_key(
    context: typer.Context,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Replace a key that is set, without asking.")] = False,
    json: Json = False,
) -> None:
    """Set the gateway's secret key: typed without echo, or read from standard input. It is never printed."""
    stack = stack_of(context)
    secret = stack["gateway_secret_arn"]
    client = stack.client("secretsmanager")
    # asks for the versions, not for the value: an operator need not be allowed to read the key
    is_set = bool(client.describe_secret(SecretId=secret).get("VersionIdsToStages"))
    if is_set and not yes:
        _confirm(stack)
    client.put_secret_value(SecretId=secret, SecretString=_key(stack))
    if json:
        show.as_json({"environment": stack.name, "gateway_secret_arn": secret, "replaced": is_set})
        return
    what = "replaced" if is_set else "set"
    show.out.print(f"The gateway's key of {stack.name} is {what}; payments use it within five minutes.")


def _confirm(stack: Stack) -> None:
    if not _at_a_terminal():
        raise Failure(f"{stack.name} has a gateway key already; replace it with --yes", code=Exit.USAGE)
    typer.confirm(f"{stack.name} has a gateway key already. Replace it?", abort=True, err=True)


def _key(stack: Stack) -> str:
    if _at_a_terminal():
        key: str = typer.prompt(f"Secret key of Stripe for {stack.name}", hide_input=True, err=True)
    else:
        key = sys.stdin.read()
    key = key.strip()
    if not key.startswith(SECRET_KEYS) or not key.isprintable() or " " in key:
        raise Failure(
            "this is not a secret key of Stripe: it begins with sk_ (secret) or rk_ (restricted); nothing was changed",
            details=["a key that begins with pk_ is the publishable one, which cannot charge"]
            if key[:3] == "pk_"
            else [],
            code=Exit.USAGE,
        )
    return key


def _at_a_terminal() -> bool:
    return sys.stdin.isatty()
