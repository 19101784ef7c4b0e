"""The output: the timeline of a payment, and the totals of many runs."""

from collections import Counter
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from rich.table import Table

from simulation.effects import Entry, shown
from simulation.run import OVERLOAD, Verdict

_LINES = 120
"""The longest timeline that a violation shows. The replay shows all of it."""


def line_of(entry: Entry) -> str:
    """A line of a timeline: time, actor, effect and result."""
    at = timedelta(microseconds=entry.at)
    arguments = shown(entry.arguments)
    outcome = "" if entry.outcome is None else f" → {shown(entry.outcome)}"
    clock = f"{at.days}d " * bool(at.days) + f"{timedelta(seconds=at.seconds)}.{at.microseconds // 1000:03}"
    return f"{clock:>16}  {entry.actor[:34]:34}  {entry.effect} {arguments[:160]}{outcome[:200]}"


def time_line(verdict: Verdict, about: str = "") -> list[str]:
    """The trace as lines; with `about`, only the lines that mention it."""
    return [line for line in map(line_of, verdict.trace) if about in line]


def failure_of(verdict: Verdict) -> str:
    """A run's first violation with everything needed to understand it, and the command that replays it."""
    violation = verdict.violations[0]
    lines = time_line(verdict, violation.about)
    left_out = [f"  … {len(lines) - _LINES} earlier lines"] if len(lines) > _LINES else []
    return "\n".join(
        [
            f"seed {verdict.seed}: '{violation.invariant}' does not hold for {violation.about}: {violation.problem}",
            *left_out,
            *lines[-_LINES:],
            f"  replay it: make simulate SEED={verdict.seed}{' OVERLOAD=1' * (verdict.world == OVERLOAD)}",
        ]
    )


@dataclass(slots=True)
class Total:
    """The totals of many runs."""

    seeds: int = 0
    failed: list[int] = field(default_factory=list)
    effects: int = 0
    executions: int = 0
    virtual_seconds: float = 0.0
    statuses: Counter[str] = field(default_factory=Counter)
    struck: Counter[str] = field(default_factory=Counter)

    def add(self, verdict: Verdict) -> None:
        """Add a run to the totals."""
        self.seeds += 1
        self.effects += verdict.effects
        self.executions += verdict.executions
        self.virtual_seconds += verdict.virtual_seconds
        self.statuses += verdict.statuses
        self.struck += verdict.struck
        if verdict.violations:
            self.failed.append(verdict.seed)

    def as_json(self, seconds: float) -> dict[str, Any]:
        """The totals for programs. `seconds` is the time of all runs."""
        return {
            "seeds": self.seeds,
            "failed": self.failed,
            "seeds_per_second": round(self.seeds / seconds, 1),
            "effects": self.effects,
            "executions": self.executions,
            "virtual_days": round(self.virtual_seconds / 86_400, 1),
            "payments": dict(self.statuses.most_common()),
            "faults": dict(self.struck.most_common()),
        }


def summary(total: Total, seconds: float) -> Table:
    """The totals for people: the runs, their results, and how often each fault occurred."""
    table = Table(show_header=False, box=None)
    shown_totals = total.as_json(seconds)
    for name in ("payments", "faults"):
        shown_totals[name] = ", ".join(f"{kind} {number:,}" for kind, number in shown_totals[name].items())
    shown_totals["failed"] = ", ".join(map(str, total.failed)) or "none"
    for name, value in shown_totals.items():
        table.add_row(name.replace("_", " "), f"{value:,}" if isinstance(value, int) else str(value))
    return table
