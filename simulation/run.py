"""One run, from a seed to its verdict."""

from collections import Counter
from dataclasses import dataclass, field
from random import Random

from simulation.actors import HOUR, Actors
from simulation.effects import Entry
from simulation.invariants import check_at_rest, is_at_rest, watch
from simulation.work import work_of
from simulation.world import World, small_windows

LONGEST_HOURS = 72
"""Virtual hours after the last fault in which the system must come to rest: a customer may take 24."""
FAULTS, OVERLOAD = "faults", "overload"
"""The kinds of worlds. The second is that of the module `overload`."""


@dataclass(frozen=True, slots=True)
class Violation:
    """An invariant that did not hold: for which object, and what was found."""

    invariant: str
    about: str
    problem: str


@dataclass(slots=True)
class Verdict:
    """The result of a run."""

    seed: int
    violations: list[Violation] = field(default_factory=list)
    effects: int = 0
    virtual_seconds: float = 0.0
    executions: int = 0
    statuses: Counter[str] = field(default_factory=Counter)
    struck: Counter[str] = field(default_factory=Counter)
    trace: list[Entry] = field(default_factory=list)
    world: str = FAULTS


def run(seed: int, *, keep_trace: bool = False) -> Verdict:
    """Run a seed. The same seed gives the same verdict and the same trace."""
    random = Random(seed)  # noqa: S311 - it must be repeatable
    with small_windows():
        world = World(random, work_of(random))
        try:
            _live(world)
            verdict = Verdict(
                seed,
                [Violation(*broken) for broken in world.broken],
                world.effects.count,
                world.scheduler.monotonic(),
                len(world.machine.executions),
                Counter(row.status.value for row in world.payments.rows.values()),
                world.chaos.struck,
                world.effects.trace if keep_trace else [],
            )
        finally:
            world.scheduler.close()
    return verdict


def _live(world: World) -> None:
    actors = Actors(world)
    watch(world)
    actors.begin()
    scheduler, horizon = world.scheduler, world.chaos.ends_at
    ends = horizon + LONGEST_HOURS * HOUR
    while horizon < ends and not world.broken:
        horizon += HOUR / 4
        scheduler.run(until=horizon)
        if not scheduler.busy and is_at_rest(world):
            break
    if not world.broken:
        check_at_rest(world)
