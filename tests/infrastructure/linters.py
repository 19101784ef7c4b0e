"""The linters outside of the project's environment; tools/install.py installs them into .tools."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

from lib.package import ROOT

INSTALLED = ROOT / ".tools"
SOURCES = ROOT / "tools"


def run(command: list[str | Path], *, stdin: str = "", **environment: str) -> str:
    """The output of a linter. Findings are allowed, failures are not: output that is not JSON raises an error."""
    program = Path(command[0])
    assert not program.is_absolute() or program.exists(), f"{program.name} is not installed; run `make setup`"
    done = subprocess.run(
        command, input=stdin, env=os.environ | environment, capture_output=True, text=True, check=False
    )
    assert done.stdout, f"{program.name} said nothing but: {done.stderr}"
    return done.stdout


def checkov(files: list[Path]) -> list[dict[str, Any]]:
    """checkov's failed checks: each with file_abs_path, resource, check_id and check_name."""
    options = ["--framework", "terraform_json", "--skip-download", "--compact", "--quiet", "--output", "json"]
    chosen = [option for file in files for option in ("--file", str(file))]
    report = json.loads(run([INSTALLED / "checkov" / "bin" / "checkov", *options, *chosen]))
    assert report["summary"]["parsing_errors"] == 0
    assert report["summary"]["passed"] > 0
    failed: list[dict[str, Any]] = report["results"]["failed_checks"]
    return failed


def parliament(policies: dict[str, Any]) -> list[list[str]]:
    """What parliament finds in policy documents by name: name, issue, title, detail."""
    script = SOURCES / "checkov" / "lint_policies.py"
    said = run([INSTALLED / "checkov" / "bin" / "python", "-W", "ignore", script], stdin=json.dumps(policies))
    found: list[list[str]] = json.loads(said)
    return found


def states_language(definitions: dict[str, Any]) -> list[dict[str, str]]:
    """What both linters find in state machines by name: name, linter, message."""
    modules = INSTALLED / "asl" / "node_modules"
    assert modules.exists(), "the linters of the state machine are not installed; run `make setup`"
    said = run(["node", SOURCES / "asl" / "lint.js"], stdin=json.dumps(definitions), NODE_PATH=str(modules))
    found: list[dict[str, str]] = json.loads(said)
    return found
