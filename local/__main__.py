"""`python -m local up | down | demo`: run the whole product on this machine."""

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
def _print_errors() -> Iterator[None]:
    """Turn an error of Terraform, the local AWS, the fake Stripe or the API into its message and exit code 1."""
    try:
        yield
    except (RuntimeError, Failure) as error:
        Console(stderr=True, highlight=False).print(f"failed: {error}", markup=False, style="red", soft_wrap=True)
        raise typer.Exit(1) from None


@app.command()
def up() -> None:
    """Start the local AWS and the fake Stripe, and apply the stack to them."""
    stack = LocalStack()
    with _print_errors(), Steps(console) as steps:
        stack.up(StackSteps(steps))
    console.print(f"\nThe stack is running. Outputs: {stack.outputs_path}\n\nNext steps:\n{NEXT_STEPS}", markup=False)


@app.command()
def down() -> None:
    """Stop the local stack and delete all of its files."""
    existed = DIRECTORY.exists()
    with _print_errors():
        LocalStack().down()
    console.print(f"The local stack is stopped and {DIRECTORY} is deleted." if existed else "There is no local stack.")


@app.command()
def demo() -> None:
    """Run payments of every kind through the whole stack, show the outcomes, and check them."""
    from local.demo.run import run

    with _print_errors():
        mismatches = run(LocalStack(), console)
    if mismatches:
        raise typer.Exit(1)
    console.print(f"\nThe stack is still running. Next steps:\n{NEXT_STEPS}", markup=False)


if __name__ == "__main__":
    app(prog_name="python -m local")
