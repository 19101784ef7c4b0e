"""Options that several commands share, so that they read alike everywhere."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from payctl.stack import Stack

Json = Annotated[bool, typer.Option("--json", help="Print JSON on standard output, and nothing else there.")]
Timeout = Annotated[float, typer.Option(min=0, metavar="SECONDS", help="Exit code 4 when nothing changed for so long.")]
Download = Annotated[
    Path | None,
    typer.Option(metavar="DIR", file_okay=False, help="Put the result files into this folder when they are there."),
]


def stack_of(context: typer.Context) -> Stack:
    """The stack that the command is for, looked up when it is first asked for. Raises Failure."""
    look_up: Callable[[], Stack] = context.obj
    return look_up()
