"""What payctl asks the person at the terminal, and what it demands instead where there is none."""

import sys
from typing import Annotated

import typer

from payctl.failures import Exit, Failure

Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do it without asking.")]


def at_a_terminal() -> bool:
    """Whether there is a person to ask."""
    return sys.stdin.isatty()


def confirm(question: str, *, otherwise: str) -> None:
    """Have a question answered with yes. Without a terminal raises Failure saying `otherwise` and to give --yes."""
    if not at_a_terminal():
        raise Failure(f"{otherwise} with --yes", code=Exit.USAGE)
    typer.confirm(question, abort=True, err=True)


def secret(prompt: str) -> str:
    """A secret, typed without echo or read from standard input; never printed."""
    if at_a_terminal():
        typed: str = typer.prompt(prompt, hide_input=True, err=True)
        return typed.strip()
    return sys.stdin.read().strip()
