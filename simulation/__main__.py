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

from simulation import overload
from simulation.report import Total, failure_of, summary, time_line
from simulation.run import OVERLOAD, Verdict, run

SEEDS_AN_OVERLOAD = 20
"""For so many seeds of faulty worlds, one world of overload runs."""
FAILURES_SHOWN = 3
"""The search ends after this many failing seeds, because the first is fixed first."""


def main() -> int:
    """Exit status: 0 if every invariant held, 1 otherwise."""
    parser = argparse.ArgumentParser(prog="make simulate", description=__doc__)
    parser.add_argument("--seeds", type=int, default=500, help="how many seeds to run")
    parser.add_argument("--first", type=int, default=0, help="the first of them")
    parser.add_argument("--seed", type=int, help="run this one seed and show its whole trace")
    parser.add_argument("--overload", action="store_true", help="with --seed: the world of overload of this seed")
    parser.add_argument("--json", action="store_true", help="give the summary as JSON")
    asked = parser.parse_args()
    if asked.seed is None:
        return _many(asked.first, asked.seeds, as_json=asked.json)
    return _replay(overload.run(asked.seed) if asked.overload else run(asked.seed, keep_trace=True))


def _replay(verdict: Verdict) -> int:
    out = Console(soft_wrap=True, markup=False, highlight=False)
    for line in time_line(verdict):
        out.print(line)
    for violation in verdict.violations:
        out.print(f"'{violation.invariant}' does not hold for {violation.about}: {violation.problem}", style="bold red")
    if not verdict.violations:
        out.print(f"seed {verdict.seed}: every invariant holds", style="bold green")
    return 1 if verdict.violations else 0


def _many(first: int, seeds: int, *, as_json: bool) -> int:
    out, began = Console(stderr=as_json, soft_wrap=True), time.perf_counter()
    total, failed = Total(), 0
    with Progress(console=out, transient=True) as progress:
        task = progress.add_task("seeds", total=seeds + seeds // SEEDS_AN_OVERLOAD)
        for verdict in _verdicts(first, seeds):
            total.add(verdict)
            progress.advance(task)
            if verdict.violations:
                failed += 1
                if verdict.world != OVERLOAD:
                    verdict = run(verdict.seed, keep_trace=True)
                progress.console.print(failure_of(verdict), markup=False, highlight=False)
            if failed == FAILURES_SHOWN:
                break
    seconds = time.perf_counter() - began
    if as_json:
        sys.stdout.write(json.dumps(total.as_json(seconds), indent=2) + "\n")
    else:
        out.print(summary(total, seconds))
    return 1 if failed else 0


def _verdicts(first: int, seeds: int) -> Iterator[Verdict]:
    """The verdicts in the order of the seeds, from as many processes as there are cores. Worlds of overload are last,
    and fewer: each takes as long as several others."""
    with get_context("spawn").Pool(os.cpu_count()) as pool:
        yield from pool.imap(run, range(first, first + seeds), chunksize=5)
        yield from pool.imap(overload.run, range(first, first + seeds // SEEDS_AN_OVERLOAD))


if __name__ == "__main__":
    sys.exit(main())
