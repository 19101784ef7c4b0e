"""Worlds of overload: REST payments at several times the gateway's rate, beside a large file, and sometimes functions
that do not start for a while. A seed gives a world, as in `run`, with random draws of its own.

The gateway counts: a request above its rate is a violation, and so is a payment that costs more the longer it waits.
"""

from collections import Counter
from dataclasses import dataclass, field
from math import ceil
from random import Random

from payments.domain.payment import Payment
from payments.domain.statuses import OPEN
from simulation.load import Load
from simulation.run import OVERLOAD, Verdict, Violation

_WAITS = 3
"""The state transitions of each return after a wait: Wait, Charge, MustItWait."""
_STRAIGHT = 7
"""Those of a payment that waits for nothing."""
_LONGEST_SECONDS = 3_600.0
"""How long a world may take to come to rest after the last payment: waits that double each time become long."""


@dataclass(frozen=True, slots=True)
class Offered:
    """What a world is offered. `throttled` is from when until when Lambda starts no function."""

    rate: int
    times: float
    seconds: float
    rows: int
    limit_seconds: int
    lost_cards: float
    throttled: tuple[float, float] = field(default=(0.0, 0.0))


def offered(random: Random) -> Offered:
    """What the world of a seed is offered."""
    rate, seconds = random.choice((5, 10)), random.choice((15.0, 30.0))
    begins = random.uniform(5.0, seconds)
    return Offered(
        rate=rate,
        times=random.uniform(1.5, 5.0),
        seconds=seconds,
        rows=random.choice((0, 0, 60, 200)),
        limit_seconds=random.choice((5, 15, 40)),
        lost_cards=random.choice((0.0, 0.0, 0.05)),
        throttled=(begins, begins + random.choice((3.0, 10.0, 20.0))) if random.random() < 0.5 else (0.0, 0.0),
    )


def run(seed: int) -> Verdict:
    """Run a seed. The same seed gives the same verdict."""
    given = offered(Random(f"overload {seed}"))  # noqa: S311 - it must be repeatable
    load = Load(given.rate, given.limit_seconds, lost_cards=given.lost_cards, throttled=given.throttled)
    try:
        load.recover()
        load.batch(given.rows)
        load.rest(given.rate * given.times, given.seconds)
        load.run(given.seconds)
        while load.scheduler.monotonic() < given.seconds + _LONGEST_SECONDS and _open(load):
            load.run(30)
        violations = [Violation(*broken) for broken in _broken(load, given)]
        return Verdict(
            seed,
            violations,
            sum(len(execution.visited) for execution in load.machine.executions.values()),
            load.scheduler.monotonic(),
            len(load.machine.executions),
            Counter(row.status.value for row in load.store.rows.values()),
            Counter({what: load.counts[what] for what in ("429 of the API", "handed back")})
            + Counter({"functions throttled": int(given.throttled[1] > 0)}),
            world=OVERLOAD,
        )
    finally:
        load.scheduler.close()


def _broken(load: Load, given: Offered) -> list[tuple[str, str, str]]:
    about, found = repr(given), []
    refused = load.counts["429 of the gateway"]
    if refused:
        found.append(("within the gateway's rate", about, f"{refused} requests were answered with 429"))
    found += [("no dead letters", body, "a message that is well became one") for body in load.dead_letters]
    found += [("all settled", row.payment_id, row.status) for row in _open(load)]
    started = Counter(execution.input["payment_id"] for execution in load.machine.executions.values())
    found += [("one execution", name, f"{number} executions") for name, number in started.items() if number > 1]
    # A declined card waits twice. A payment that finds no slot when functions start again waits longer each time.
    returns = 8 if given.throttled[1] else 2
    for execution in load.machine.executions.values():
        if len(execution.visited) > _STRAIGHT + returns * _WAITS:
            found.append(("bounded transitions", execution.name, f"{len(execution.visited)}: {execution.visited}"))
    accepted = sum(row.source == "rest" for row in load.store.rows.values())
    # the backlog at its limit, what went through meanwhile, and what came before the limit was seen: a payment takes
    # its ticket when its function runs
    unseen_seconds = 5 + given.throttled[1] - given.throttled[0]
    most = given.rate * (given.limit_seconds + given.seconds + given.times * unseen_seconds)
    if accepted > most:
        found.append(("turned away beyond the limit", about, f"{accepted} accepted, room for {ceil(most)}"))
    return found


def _open(load: Load) -> list[Payment]:
    return [row for row in load.store.rows.values() if row.status in OPEN]
