"""Benchmark of the synthesis: a warm synthesis of the whole stack, compared with a plain import of the provider."""

import os
import statistics
import subprocess
import sys
import tempfile
import time

from local.terraform import ROOT

ROUNDS = 3


def main() -> int:
    """Print the table."""
    with tempfile.TemporaryDirectory() as folder:
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        environment["CDKTF_OUTDIR"] = f"{folder}/cdktf.out"
        environment["JSII_SILENCE_WARNING_END_OF_LIFE_NODE_VERSION"] = "18,20"
        ways = {"synth (main.py)": ["main.py"], "import of the provider": ["-c", "import cdktf_cdktf_provider_aws"]}
        for command in ways.values():
            _seconds(command, environment)
        measured = {
            name: statistics.median(_seconds(command, environment) for _ in range(ROUNDS))
            for name, command in ways.items()
        }
    whole = measured["import of the provider"]
    print(f"{'':24}{'seconds':>10}{'ratio':>12}")  # noqa: T201
    for name, seconds in measured.items():
        print(f"{name:24}{seconds:>10.1f}{seconds / whole:>12.2f}")  # noqa: T201
    return 0


def _seconds(arguments: list[str], environment: dict[str, str]) -> float:
    start = time.monotonic()
    subprocess.run([sys.executable, *arguments], cwd=ROOT, env=environment, check=True)
    return time.monotonic() - start


if __name__ == "__main__":
    sys.exit(main())
