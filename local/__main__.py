"""`python -m local up | down | demo`: the whole product on this machine."""

from collections.abc import Iterator
from contextlib import contextmanager

import typer
from rich.console import Console

from local.progress import StackSteps, Steps
from local.stack import DIRECTORY, LocalStack
from payctl.failures import Failure

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
console = Console(highlight=False)

NEXT_STEPS = """\
  bin/payctl pay --amount 99.99 --currency USD
  bin/payctl batch upload local/samples/payments.csv --watch
  bin/payctl --help
  make down"""


@contextmanager
def _errors_told() -> Iterator[None]:
    """A fault of Terraform, the local AWS, the stand-in or the API as its text and exit code 1."""
    try:
        yield
    except (RuntimeError, Failure) as error:
        Console(stderr=True, highlight=False).print(f"failed: {error}", markup=False, style="red", soft_wrap=True)
        raise typer.Exit(1) from None


@app.command()
def up() -> None:
    """Start the local AWS and the stand-in gateway, and apply the stack to them."""
    stack = LocalStack()
    with _errors_told(), Steps(console) as steps:
        stack.up(StackSteps(steps))
    console.print(f"\nThe stack is up. Its outputs: {stack.outputs_path}\n\nGo on with:\n{NEXT_STEPS}", markup=False)


@app.command()
def down() -> None:
    """Stop all of it and remove all that it wrote."""
    was_there = DIRECTORY.exists()
    with _errors_told():
        LocalStack().down()
    console.print(f"The local stack is gone, with all of {DIRECTORY}." if was_there else "There is no local stack.")


@app.command()
def demo() -> None:
    """Run payments of every kind through the whole stack, show what became of them, and check it."""
    from local.demo.run import run

    with _errors_told():
        mismatches = run(LocalStack(), console)
    if mismatches:
        raise typer.Exit(1)
    console.print(f"\nThe stack is still up: look around.\n{NEXT_STEPS}", markup=False)


if __name__ == "__main__":
    app(prog_name="python -m local")
