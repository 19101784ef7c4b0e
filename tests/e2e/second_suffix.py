"""A second environment beside the first, deployed by cdktf-cli as the README says. Its staff needs a second factor."""

import subprocess
from pathlib import Path

from local.stack import LocalStack
from local.terraform import LONGEST_SECONDS, ROOT, TOOLS, environment

SUFFIX = "dev-e2e"
_AS_SYNTHESISED = ("--skip-synth", "--skip-provider-lock")


class Cdktf:
    """cdktf-cli 0.21 in the project's root, with its output and state outside of the project."""

    def __init__(self, local_stack: LocalStack, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._directory = directory
        self._environment = environment(local_stack.aws.environment()) | local_stack.synth_settings(SUFFIX)
        self._environment |= {"CI": "true", "REQUIRE_SECOND_FACTOR": "true"}
        self.outputs = directory / "outputs.json"

    def __call__(self, command: str, *options: str) -> str:
        run = subprocess.run(
            [str(TOOLS / "cdktf/node_modules/.bin/cdktf"), command, *options, "--output", str(self._directory)],
            cwd=ROOT,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=LONGEST_SECONDS,
        )
        assert run.returncode == 0, f"cdktf {command}:\n{run.stdout[-3000:]}\n{run.stderr[-3000:]}"
        return run.stdout

    def deployed(self) -> "Cdktf":
        """Deploy it from an empty state. Only the first command synthesises, as that takes ten seconds."""
        self("synth")
        assert "to add" in self("diff", *_AS_SYNTHESISED)
        self("deploy", "--auto-approve", *_AS_SYNTHESISED, "--outputs-file", str(self.outputs))
        return self

    def destroy(self) -> None:
        """Delete all of its resources."""
        self("destroy", "--auto-approve", *_AS_SYNTHESISED)


def remove_state() -> None:
    """Remove its state from the project's root."""
    for leftover in ROOT.glob(f"terraform.{SUFFIX}.tfstate*"):
        leftover.unlink()
