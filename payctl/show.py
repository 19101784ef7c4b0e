"""What payctl prints: tables for people, JSON for scripts on standard output, everything else on standard error."""

import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import Progress, track
from rich.table import Table
from rich.text import Text

from payctl.failures import Failure
from payments.domain.batch_breaker import BreakerState
from payments.domain.statuses import CAPTURED, OPEN, Status

SHORT = ("version", "status", "at", "by")
"""Columns that are never wrapped; the others give way to them."""
PIPED_COLUMNS = 160
"""Without a terminal rich takes 80 columns and would break ids in two."""


def _console(*, stderr: bool) -> Console:
    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() or "COLUMNS" in os.environ else PIPED_COLUMNS
    return Console(stderr=stderr, highlight=False, width=width)


out = _console(stderr=False)
err = _console(stderr=True)


def as_json(content: Any) -> None:
    """Machine output; Decimals keep their digits."""
    import simplejson

    out.out(simplejson.dumps(content, use_decimal=True, indent=2, ensure_ascii=False))


def failure(problem: Failure) -> None:
    """An error, then its details one to a line."""
    err.print(Text.assemble(("payctl: ", "bold red"), problem.message), soft_wrap=True)
    for detail in problem.details:
        err.print(Text(f"  {detail}"), soft_wrap=True)


def note(text: str) -> None:
    """A remark beside the result."""
    err.print(Text(text, "dim"), soft_wrap=True)


def heading(text: str) -> None:
    """A heading above lines."""
    out.print(Text(text, "bold"))


def line(text: str) -> None:
    """A sentence of the result."""
    out.print(Text(f"  {text}"), soft_wrap=True)


def facts(pairs: Iterable[tuple[str, object]]) -> None:
    """Name and value, a line each; what is empty is left out."""
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    for name, value in pairs:
        if value not in ("", None):
            grid.add_row(name, value if isinstance(value, Text) else Text(str(value)))
    out.print(grid)


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """A table; cells are text or rich Text, never markup: what a customer wrote must not colour the screen."""
    drawn = Table(title=title, title_justify="left", header_style="bold")
    for column in columns:
        drawn.add_column(column, overflow="fold", no_wrap=column in SHORT)
    for row in rows:
        drawn.add_row(*(cell if isinstance(cell, Text) else Text(str(cell)) for cell in row))
    out.print(drawn)


def progress[T](description: str, items: Sequence[T]) -> Iterable[T]:
    """The items, with a bar on standard error while they are worked through; none without a terminal."""
    return track(items, description, console=err, transient=True, disable=not err.is_terminal)


@contextmanager
def bar(description: str, total: int) -> Iterator[Callable[[], None]]:
    """A bar like that of `progress`; gives what moves it on by one."""
    shown = Progress(console=err, transient=True, disable=not err.is_terminal)
    with shown:
        task = shown.add_task(description, total=total)
        yield lambda: shown.advance(task)


def status(name: str) -> Text:
    """A status in its colour: green has the money, red has not, yellow is not decided."""
    if name in CAPTURED:
        return Text(name, "green")
    undecided = {*OPEN, Status.REQUIRES_ACTION, Status.IN_REVIEW, Status.UNKNOWN}
    return Text(name, "yellow" if name in undecided else "red")


def lane(state: BreakerState) -> Text:
    """The batch lane as it stands, in its colour."""
    return Text("paused", "red") if state.paused else Text("open", "green")


def reason(holder: Mapping[str, Any]) -> str:
    """The reason of a payment or of a change in its history, as one line; empty if there is none."""
    given = holder.get("reason")
    return f"{given['message']} ({given['code']})" if given else ""
