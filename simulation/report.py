"""What a person sees: the time line of a payment, and the sum of many runs."""

from datetime import timedelta

from simulation.effects import Entry, shown
from simulation.run import Verdict, Violation

_LINES = 120
"""The longest time line that a violation shows; the replay shows all."""


def line_of(entry: Entry) -> str:
    """A line of a time line: when, who, what, and how it came out."""
    at = timedelta(microseconds=entry.at)
    arguments = shown(entry.arguments)
    outcome = "" if entry.outcome is None else f" → {shown(entry.outcome)}"
    clock = f"{at.days}d " * bool(at.days) + f"{timedelta(seconds=at.seconds)}.{at.microseconds // 1000:03}"
    return f"{clock:>16}  {entry.actor[:34]:34}  {entry.effect} {arguments[:160]}{outcome[:200]}"


def time_line(verdict: Verdict, about: str = "") -> list[str]:
    """The trace as lines; only those that speak of `about`."""
    return [line for line in map(line_of, verdict.trace) if about in line]


def told(verdict: Verdict, violation: Violation) -> str:
    """A violation with all that is needed to understand it, and the command that replays it."""
    lines = time_line(verdict, violation.about)
    left_out = [f"  … {len(lines) - _LINES} earlier lines"] if len(lines) > _LINES else []
    return "\n".join(
        [
            f"seed {verdict.seed}: '{violation.invariant}' does not hold for {violation.about}: {violation.problem}",
            *left_out,
            *lines[-_LINES:],
            f"  replay it: make simulate SEED={verdict.seed}",
        ]
    )
