"""Shows the steps of a long task while they run: live on a terminal, as plain lines elsewhere."""

import re
import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

PLAIN_DETAIL_SECONDS = 15
"""The interval between two progress lines of a step without a terminal."""

_PLANNED = re.compile(r"Plan: (\d+) to add, (\d+) to change, (\d+) to destroy")
_DONE = re.compile(r": (?:Creation|Modifications|Destruction) complete after")


class Steps:
    """A sequence of steps, each with its duration. Use it as a context manager: leaving it ends the last step."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = Progress(
            SpinnerColumn(finished_text="[green]✓[/green]"),
            TextColumn("{task.description}"),
            TimeElapsedColumn(),
            TextColumn("[dim]{task.fields[detail]}[/dim]"),
            console=console,
        )
        self._title = ""
        self._began_at = 0.0
        self._detail_at = 0.0
        self.seconds: dict[str, float] = {}

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.end()
        elif self._title:
            self._fail()
        if self._console.is_terminal:
            self._live.stop()

    def begin(self, title: str) -> None:
        """End the previous step and start this one."""
        self.end()
        self._title = title
        self._began_at = self._detail_at = time.monotonic()
        if self._console.is_terminal:
            self._live.add_task(title, total=None, detail="")
        else:
            self._console.print(f"… {title}", markup=False)

    def detail(self, text: str) -> None:
        """Show the progress of the current step."""
        if self._console.is_terminal:
            self._live.update(self._live.task_ids[-1], detail=text)
        elif time.monotonic() - self._detail_at > PLAIN_DETAIL_SECONDS:
            self._detail_at = time.monotonic()
            self._console.print(f"    {text}", markup=False)

    def end(self) -> None:
        """Finish the current step, if there is one."""
        if not self._title:
            return
        seconds = time.monotonic() - self._began_at
        self.seconds[self._title] = seconds
        if self._console.is_terminal:
            self._live.update(self._live.task_ids[-1], total=1, completed=1)
        else:
            self._console.print(f"✓ {self._title} ({seconds:.1f} s)", markup=False)
        self._title = ""

    def _fail(self) -> None:
        if self._console.is_terminal:
            self._live.update(self._live.task_ids[-1], description=f"[red]✗ {self._title}[/red]")
        else:
            self._console.print(f"✗ {self._title}", markup=False)


class StackSteps:
    """Converts the messages of `LocalStack.up` to steps.

    Its own sentences begin a step. Terraform's lines, which end in a newline, show the progress.
    """

    def __init__(self, steps: Steps) -> None:
        self._steps = steps
        self._planned = 0
        self._done = 0

    def __call__(self, text: str) -> None:
        if not text.endswith("\n"):
            self._steps.begin(text)
        elif plan := _PLANNED.search(text):
            self._planned = sum(map(int, plan.groups()))
        elif _DONE.search(text):
            self._done += 1
            self._steps.detail(f"{self._done} of {self._planned} resources")
