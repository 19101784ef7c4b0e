"""Output of payctl: tables or JSON on standard output, notes, progress and errors on standard error."""

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
"""Columns that are never wrapped. The other columns get the remaining width."""
PIPED_COLUMNS = 160
"""Width without a terminal. The default of rich is 80 columns, which breaks ids in two."""


def _console(*, stderr: bool) -> Console:
    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() or "COLUMNS" in os.environ else PIPED_COLUMNS
    return Console(stderr=stderr, highlight=False, width=width)


out = _console(stderr=False)
err = _console(stderr=True)


def as_json(content: Any) -> None:
    """Print JSON. Decimals keep their digits; characters that control a terminal are escaped."""
    import simplejson

    text = simplejson.dumps(content, use_decimal=True, indent=2, ensure_ascii=False)
    out.out("".join(c if c.isprintable() or c == "\n" else simplejson.dumps(c)[1:-1] for c in text))


def safe(text: object) -> str:
    """A text on one line, without characters that control the terminal, or that change the direction of what follows:
    names of files are chosen by those who upload them. One with a line end could show a line of its own."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in str(text))


def failure(problem: Failure) -> None:
    """Print an error, then its details, one per line."""
    err.print(Text.assemble(("payctl: ", "bold red"), safe(problem.message)), soft_wrap=True)
    for detail in problem.details:
        err.print(Text(safe(f"  {detail}")), soft_wrap=True)


def note(text: str) -> None:
    """Print a remark on standard error."""
    err.print(Text(safe(text), "dim"), soft_wrap=True)


def heading(text: str) -> None:
    """Print a heading."""
    out.print(Text(safe(text), "bold"))


def line(text: str) -> None:
    """Print one indented sentence of the result."""
    out.print(Text(safe(f"  {text}")), soft_wrap=True)


def facts(pairs: Iterable[tuple[str, object]]) -> None:
    """Print one line per name and value. Empty values are left out."""
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    for name, value in pairs:
        if value not in ("", None):
            grid.add_row(name, value if isinstance(value, Text) else Text(safe(value)))
    out.print(grid)


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print a table. Cells are text or rich Text, never markup: a customer's text must not colour the screen."""
    drawn = Table(title=safe(title), title_justify="left", header_style="bold")
    for column in columns:
        drawn.add_column(column, overflow="fold", no_wrap=column in SHORT)
    for row in rows:
        drawn.add_row(*(cell if isinstance(cell, Text) else Text(safe(cell)) for cell in row))
    out.print(drawn)


def progress[T](description: str, items: Sequence[T]) -> Iterable[T]:
    """Iterate over the items with a progress bar on standard error. Without a terminal there is no bar."""
    return track(items, description, console=err, transient=True, disable=not err.is_terminal)


@contextmanager
def bar(description: str, total: int) -> Iterator[Callable[[], None]]:
    """A bar like that of `progress`. Yields a function that advances it by one."""
    shown = Progress(console=err, transient=True, disable=not err.is_terminal)
    with shown:
        task = shown.add_task(description, total=total)
        yield lambda: shown.advance(task)


def status(name: str) -> Text:
    """A status in colour: green if the money was captured, red if not, yellow if the outcome is open."""
    if name in CAPTURED:
        return Text(name, "green")
    undecided = {*OPEN, Status.REQUIRES_ACTION, Status.IN_REVIEW, Status.UNKNOWN}
    return Text(name, "yellow" if name in undecided else "red")


def breaker(state: BreakerState) -> Text:
    """The state of the batch breaker, in colour."""
    return Text("paused", "red") if state.paused else Text("running", "green")


def reason(holder: Mapping[str, Any]) -> str:
    """The reason of a payment, or of a change in its history, on one line. Empty if there is none."""
    given = holder.get("reason")
    return f"{given['message']} ({given['code']})" if given else ""
