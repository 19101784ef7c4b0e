"""Options that several commands share, with the same help text everywhere."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from payctl.stack import Stack

Json = Annotated[bool, typer.Option("--json", help="Print only JSON on standard output.")]
Timeout = Annotated[
    float, typer.Option(min=0, metavar="SECONDS", help="Exit with code 4 if nothing changes for this long.")
]
Watch = Annotated[bool, typer.Option("--watch", "-w", help="Show progress until the result files are written.")]
Download = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR", file_okay=False, help="Download the result files into this folder when they are written."
    ),
]


def stack_of(context: typer.Context) -> Stack:
    """The stack of the command. The first call looks it up. Raises Failure."""
    look_up: Callable[[], Stack] = context.obj
    return look_up()
