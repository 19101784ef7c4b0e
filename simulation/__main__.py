"""`make simulate`: run many seeds on all cores, or one seed with its whole trace."""

import argparse
import json
import os
import sys
import time
from collections.abc import Iterator
from multiprocessing import get_context

from rich.console import Console
from rich.progress import Progress

from simulation.report import Total, failure_of, summary, time_line
from simulation.run import Verdict, run

FAILURES_SHOWN = 3
"""The search ends after this many failing seeds, because the first is fixed first."""


def main() -> int:
    """Exit status: 0 if every invariant held, 1 otherwise."""
    parser = argparse.ArgumentParser(prog="make simulate", description=__doc__)
    parser.add_argument("--seeds", type=int, default=500, help="how many seeds to run")
    parser.add_argument("--first", type=int, default=0, help="the first of them")
    parser.add_argument("--seed", type=int, help="run this one seed and show its whole trace")
    parser.add_argument("--json", action="store_true", help="give the summary as JSON")
    asked = parser.parse_args()
    return _replay(asked.seed) if asked.seed is not None else _many(asked.first, asked.seeds, as_json=asked.json)


def _replay(seed: int) -> int:
    verdict = run(seed, keep_trace=True)
    out = Console(soft_wrap=True, markup=False, highlight=False)
    for line in time_line(verdict):
        out.print(line)
    for violation in verdict.violations:
        out.print(f"'{violation.invariant}' does not hold for {violation.about}: {violation.problem}", style="bold red")
    if not verdict.violations:
        out.print(f"seed {seed}: every invariant holds", style="bold green")
    return 1 if verdict.violations else 0


def _many(first: int, seeds: int, *, as_json: bool) -> int:
    out, began = Console(stderr=as_json, soft_wrap=True), time.perf_counter()
    total, failed = Total(), 0
    with Progress(console=out, transient=True) as progress:
        task = progress.add_task("seeds", total=seeds)
        for verdict in _verdicts(range(first, first + seeds)):
            total.add(verdict)
            progress.advance(task)
            if verdict.violations:
                failed += 1
                progress.console.print(failure_of(run(verdict.seed, keep_trace=True)), markup=False, highlight=False)
            if failed == FAILURES_SHOWN:
                break
    seconds = time.perf_counter() - began
    if as_json:
        sys.stdout.write(json.dumps(total.as_json(seconds), indent=2) + "\n")
    else:
        out.print(summary(total, seconds))
    return 1 if failed else 0


def _verdicts(seeds: range) -> Iterator[Verdict]:
    """The verdicts in the order of the seeds, from as many processes as there are cores."""
    with get_context("spawn").Pool(os.cpu_count()) as pool:
        yield from pool.imap(run, seeds, chunksize=5)


if __name__ == "__main__":
    sys.exit(main())
