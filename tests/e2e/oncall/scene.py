"""What the incidents of the drill use: the applied stack, its customers and the gateway, and an operator's shell."""

import os
import pty
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from local.stack import LocalStack
from local.terraform import LONGEST_SECONDS
from payctl.failures import Exit
from tests.documented_commands import ROOT, Block, blocks_of
from tests.e2e.conftest import Api, BatchFiles, Gateway, Payctl
from tests.e2e.oncall.alarm import LONGEST_WAIT_SECONDS, Alarm
from tests.waiting import eventually

RUNBOOKS = ROOT / "docs" / "runbooks.md"
ANSWERS = (Exit.DONE, Exit.NOT_CHARGED, Exit.STILL_OPEN, Exit.SOME_REFUSED, Exit.NOT_SETTLED)
"""The exit codes of payctl that are no failure of the command."""
_SHELL = f"""set -uo pipefail -E
trap 'code=$?; case " {" ".join(str(int(code)) for code in ANSWERS)} " in *" $code "*) ;; *)
  echo "exit code $code: $BASH_COMMAND" >&2; exit "$code" ;; esac' ERR
aws() {{
  case "$1 $2" in
    "stepfunctions redrive-execution") echo "MiniStack cannot redrive an execution" ;;
    *) {sys.executable} -m tests.aws_cli "$@" ;;
  esac
}}
"""
"""Before the commands: what ends the shell, and `aws`, which is not needed on a machine that develops this."""


@dataclass(frozen=True)
class Scene:
    """The fixtures of the applied stack, for the incidents."""

    api: Api
    gateway: Gateway
    stack: LocalStack
    files: BatchFiles
    payctl: Payctl
    new_id: Callable[[], str]

    @property
    def outputs(self) -> dict[str, str]:
        """The outputs of the stack."""
        return self.stack.outputs

    def client(self, service: str) -> Any:
        """A boto3 client of an operator."""
        return self.stack.aws.client(service)

    def pay(self, faults: str = "", **more: Any) -> str:
        """Accept a payment of 99.99 USD with its faults in the metadata. Returns its id."""
        payment_id = self.new_id()
        metadata = {"metadata": {"stand_in": faults}} if faults else {}
        body = {"payment_id": payment_id, "amount": 99.99, "currency": "USD"} | metadata | more
        assert self.api.post(body).status_code == 202
        return payment_id

    def becomes(self, payment_id: str, status: str) -> dict[str, Any]:
        """The payment once it has a status."""
        view: dict[str, Any] = eventually(
            f"{payment_id} to be {status}",
            lambda: self.api.get(f"/payments/{payment_id}").json(),
            lambda seen: seen["status"] == status,
            LONGEST_WAIT_SECONDS,
        )
        return view

    def until_the_alarm(self, name: str, again: Callable[[], object], *, every: float) -> None:
        """Do something every so many seconds until an alarm fires."""
        alarm = Alarm(self.client("cloudwatch"), name, self.outputs["environment_suffix"])

        def state() -> str:
            again()
            return alarm.state

        eventually(f"the alarm {name}", state, lambda now: now == "ALARM", LONGEST_WAIT_SECONDS, every)

    def run(self, *command: str) -> None:
        """Run payctl. Fails if its exit code is that of an error."""
        run = self.payctl(*command)
        assert run.returncode in ANSWERS, run.stderr


def commands_of(entry: str) -> list[Block]:
    """The bash blocks of an entry of the runbooks."""
    _, heading, text = RUNBOOKS.read_text().partition(f"\n### {entry}\n")
    assert heading, f"docs/runbooks.md has no entry {entry}"
    return blocks_of(text.partition("\n### ")[0])


def variables() -> str:
    """The block of shell variables that all entries use."""
    [block] = commands_of("Shell variables")
    return block.script


def operate(scene: Scene, entry: str, names: Mapping[str, str], folder: Path) -> str:
    """Run all commands of an entry in one shell at a terminal, each question answered with yes. Returns their output.

    `names` has the real name of each placeholder. Fails if a command fails.
    """
    script = "\n".join([variables(), *(block.script for block in commands_of(entry))])
    here = {"=dev ": f"={scene.outputs['environment_suffix']} ", "=outputs.json": f"={scene.stack.outputs_path}"}
    for placeholder, name in {**here, **names}.items():
        script = script.replace(placeholder, name)
    (folder / "bin").symlink_to(ROOT / "bin")
    ours, terminal = pty.openpty()
    try:
        os.write(ours, b"y\n" * 20)
        run = subprocess.run(
            ["bash", "-c", _SHELL + script],
            cwd=folder,
            env=os.environ | scene.stack.aws.environment() | {"PYTHONPATH": str(ROOT)},
            stdin=terminal,
            capture_output=True,
            text=True,
            timeout=LONGEST_SECONDS,
        )
    finally:
        os.close(ours)
        os.close(terminal)
    assert run.returncode in ANSWERS, f"{entry}\n{run.stdout}{run.stderr}"
    return run.stdout
