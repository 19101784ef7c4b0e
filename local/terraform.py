"""Runs Terraform on the synthesised stack against a local AWS, with or without access to the provider registry."""

import fcntl
import json
import os
import shutil
import subprocess
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
TOOLS = ROOT / ".tools"
_PROVIDER = "registry.terraform.io/hashicorp/aws"

LONGEST_SECONDS = 1800
"""The time limit of one command. An apply takes two minutes on an ordinary machine."""


class TerraformFailed(RuntimeError):
    """Terraform ended with an error. The text contains its output."""


def environment(aws: Mapping[str, str]) -> dict[str, str]:
    """The caller's environment, with `aws` in place of the caller's own AWS settings."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    no_proxy = ",".join(filter(None, (own.get("NO_PROXY", ""), "127.0.0.1")))
    cache = TOOLS / "terraform-plugins"
    cache.mkdir(parents=True, exist_ok=True)
    settings = {
        "AWS_EC2_METADATA_DISABLED": "true",
        "CHECKPOINT_DISABLE": "1",
        "DISABLE_VERSION_CHECK": "1",
        "GOGC": "300",  # the provider's schema is large: fewer collections save a quarter of Terraform's CPU time
        "NO_PROXY": no_proxy,
        "no_proxy": no_proxy,
        "TF_IN_AUTOMATION": "1",
        "TF_PLUGIN_CACHE_DIR": str(cache),
        "PYTHONDONTWRITEBYTECODE": "",  # otherwise every synthesis recompiles the bindings and takes ten times as long
    }
    return own | settings | _mirror_configuration(own) | dict(aws)


def _mirror_configuration(own: Mapping[str, str]) -> dict[str, str]:
    """Point Terraform to the provider in a folder below /opt, for a machine without access to the registry.

    Terraform already searches ~/.terraform.d/plugins and similar folders. The user's own configuration comes first.
    """
    configured = own.get("TF_CLI_CONFIG_FILE")
    if configured and Path(configured).exists():
        return {}
    mirrors = sorted(path.parents[2] for path in Path("/opt").glob(f"*/{_PROVIDER}"))
    if not mirrors:
        return {}
    path = TOOLS / "terraform.rc"
    path.write_text(
        "provider_installation {\n"
        f'  filesystem_mirror {{\n    path    = "{mirrors[0]}"\n    include = ["{_PROVIDER}"]\n  }}\n'
        f'  direct {{\n    exclude = ["{_PROVIDER}"]\n  }}\n'
        "}\n"
    )
    return {"TF_CLI_CONFIG_FILE": str(path)}


class Terraform:
    """Terraform in one working directory, which also holds the state.

    `log` receives all output of Terraform. `on_line` receives each line as Terraform prints it.
    """

    def __init__(self, directory: Path, aws: Mapping[str, str], on_line: Callable[[str], None] = print):
        self.directory = directory
        self.log = directory / "terraform.log"
        self._environment = environment(aws)
        self._on_line = on_line

    def init(self, stack: Path) -> None:
        """Copy cdk.tf.json of the synthesised `stack`, configure the state here, and install the provider."""
        self.directory.mkdir(parents=True, exist_ok=True)
        shutil.copy(stack / "cdk.tf.json", self.directory)
        # two commands that fill Terraform's plugin cache at the same time break it
        with (TOOLS / "terraform-init.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            # the name must not be terraform.tfstate: Terraform treats that file as a state to migrate from
            self._run("init", f"-backend-config=path={self.directory / 'state.json'}")

    def apply(self) -> None:
        """Create or change the resources of the stack."""
        self._run("apply", "-auto-approve", "-parallelism=40")

    def plan(self) -> dict[str, Any]:
        """The changes of an apply: {"address": ["create"]}. Unchanged resources are left out."""
        plan = self.directory / "plan"
        self._run("plan", f"-out={plan}")
        changes = json.loads(self._run("show", "-json", str(plan), quiet=True))["resource_changes"]
        actions = {change["address"]: change["change"]["actions"] for change in changes}
        return {address: action for address, action in actions.items() if action not in (["no-op"], ["read"])}

    def destroy(self) -> None:
        """Delete all resources."""
        self._run("destroy", "-auto-approve", "-parallelism=40")

    def outputs(self) -> dict[str, str]:
        """The stack's outputs."""
        return {name: output["value"] for name, output in json.loads(self._run("output", "-json", quiet=True)).items()}

    def _run(self, command: str, *options: str, quiet: bool = False) -> str:
        arguments = [executable(), command, "-no-color", *options]
        if command in ("init", "apply", "plan", "destroy"):
            arguments.insert(3, "-input=false")
        said: list[str] = []
        with subprocess.Popen(
            arguments,
            cwd=self.directory,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as process:
            assert process.stdout is not None  # noqa: S101 - for the type checker: it is a pipe
            limit = threading.Timer(LONGEST_SECONDS, process.kill)
            limit.daemon = True
            limit.start()
            with self.log.open("a") as log:
                for line in process.stdout:
                    said.append(line)
                    if not quiet:
                        log.write(line)
                        self._on_line(line)
            limit.cancel()
        text = "".join(said)
        if process.returncode:
            raise TerraformFailed(f"terraform {command} failed:\n{_errors(text)}\nThe full output is in {self.log}")
        return text


def executable() -> str:
    """The path of Terraform. Raises TerraformFailed if it is not installed."""
    found = shutil.which("terraform")
    if not found:
        raise TerraformFailed("terraform is not on the PATH; install Terraform 1.11 or newer and run the command again")
    return found


def _errors(text: str) -> str:
    start = text.find("Error:")
    return text[start:][:4000] if start >= 0 else text[-2000:]
