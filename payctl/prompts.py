"""Prompts at the terminal, and what payctl requires instead if there is no terminal."""

import sys
from typing import Annotated

import typer

from payctl.failures import Exit, Failure
from payctl.show import safe

Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")]


def at_a_terminal() -> bool:
    """Whether standard input is a terminal, where a user can answer."""
    return sys.stdin.isatty()


def confirm(question: str, *, otherwise: str) -> None:
    """Ask for confirmation. Without a terminal, raise Failure with the text `otherwise` and a request for --yes."""
    if not at_a_terminal():
        raise Failure(f"{otherwise} with --yes", code=Exit.USAGE)
    typer.confirm(safe(question), abort=True, err=True)


def secret(prompt: str) -> str:
    """Read a secret, typed without echo or from standard input. It is never printed."""
    if at_a_terminal():
        typed: str = typer.prompt(prompt, hide_input=True, err=True)
        return typed.strip()
    return sys.stdin.read().strip()


def is_plain(secret: str) -> bool:
    """Whether a secret has only printable characters and no blank."""
    return secret.isprintable() and " " not in secret
