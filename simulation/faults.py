"""What goes wrong in a run: which kinds of faults, how often, and until when. All of it comes from the seed."""

from collections import Counter
from dataclasses import dataclass
from enum import StrEnum
from random import Random

from fakes.gateway import FaultKind


class Fate(StrEnum):
    """What happens to one effect."""

    FINE = "fine"
    CRASH_BEFORE = "crash before"
    """The function dies; the effect never happens."""
    CRASH_AFTER = "crash after"
    """The effect happens; the function dies before it knows."""
    REFUSED = "refused"
    """Throttled: an exception, and no effect."""
    ANSWER_LOST = "answer lost"
    """The effect happens, and the caller gets an exception."""
    REPEATED = "repeated"
    """The SDK got no answer and sent the request again by itself: it happens twice, and the second answer counts."""


class Mishap(StrEnum):
    """What happens around functions, messages and people."""

    LATE_START = "late start"
    """A function begins seconds after it was called: its caller may give up while it still runs."""
    CALL_LOST = "call lost"
    """The caller is told of an error and the function goes on all the same: a zombie."""
    DOUBLED = "doubled"
    """An event, a message or a request comes twice."""
    LOST = "lost"
    """A webhook is never delivered, a client gets no answer."""
    STALL = "stall"
    """A function stands still for a long time between two effects."""
    SLOW_GATEWAY = "slow gateway"
    """A request to the gateway is on its way for many seconds."""


FATES = tuple(Fate)[1:]
MOST = {
    Fate.CRASH_BEFORE: 0.04,
    Fate.CRASH_AFTER: 0.04,
    Fate.REFUSED: 0.06,
    Fate.ANSWER_LOST: 0.04,
    Fate.REPEATED: 0.05,
}
"""How often an effect meets a fate in the worst runs."""


_WHEN_DOWN = (
    FaultKind.ANSWER_LOST,
    FaultKind.SERVER_ERROR,
    FaultKind.NOT_SENT,
    FaultKind.RATE_LIMITED,
    FaultKind.KEY_IN_USE,
)


_HOW_OFTEN = (0.02, 0.1, 0.1, 0.4)
"""How often a mishap happens in a run that has it: in some runs nearly every other time, so that they meet."""


@dataclass(frozen=True, slots=True)
class Outage:
    """From when to when, in virtual seconds."""

    begins: float = 0.0
    ends: float = 0.0

    def holds(self, now: float) -> bool:
        """Whether it is under way."""
        return self.begins <= now < self.ends


class Chaos:
    """The faults of one run. Each kind strikes in some runs and spares others: what is rare alone meets more."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.struck: Counter[str] = Counter()
        self.over = False
        wildness = random.choice((0.0, 0.3, 0.6, 1.0, 1.0))
        # faults end here, so that the system must come to rest
        self.active_seconds = random.choice((60.0, 300.0, 1200.0, 1200.0, 4000.0))
        fates = {
            fate: wildness * random.random() * most if random.random() < 0.6 else 0.0 for fate, most in MOST.items()
        }
        self._fates: list[tuple[float, Fate]] = []
        total = 0.0
        for fate, rate in fates.items():
            total += rate
            self._fates.append((total, fate))
        self._any_fate = total
        self._mishaps = {
            mishap: wildness * random.choice(_HOW_OFTEN) if random.random() < 0.6 else 0.0 for mishap in Mishap
        }
        self._mishaps[Mishap.STALL] *= 0.05
        kinds: list[FaultKind] = [kind for kind in FaultKind if kind is not FaultKind.ALTERED and random.random() < 0.5]
        self._gateway_kinds: list[FaultKind] = kinds
        self._gateway_rate = wildness * random.choice((0.05, 0.2, 0.5)) if kinds else 0.0
        if random.random() < 0.2:  # a storm: the network breaks calls, and the gateway is slow and refuses
            self._mishaps |= dict.fromkeys((Mishap.CALL_LOST, Mishap.SLOW_GATEWAY, Mishap.LATE_START), 0.5)
            self._gateway_kinds = list(_WHEN_DOWN)
            self._gateway_rate = 0.4
        self._altered_rate = 0.02 if random.random() < 0.1 else 0.0
        self.search_lag_seconds = random.choice((0.0, 5.0, 30.0, 60.0))
        self.index_lag_seconds = random.choice((0.0, 0.0, 1.0, 4.0))
        self.refused_by_gateway = self._outage(0.25, (30.0, 400.0, 2000.0))
        self.gateway_down = self._outage(0.3, (20.0, 120.0, 1500.0))
        self._down_with = random.sample(_WHEN_DOWN, random.randint(1, 3))
        self.blackout = self._outage(0.12, (400.0, 8000.0, 90_000.0))
        self.no_sweeps = self._outage(0.2, (400.0, 8000.0, 90_000.0))
        outages = (self.refused_by_gateway, self.gateway_down, self.blackout, self.no_sweeps)
        self.ends_at = max(self.active_seconds, *(outage.ends for outage in outages))

    def fate(self) -> Fate:
        """What happens to the next effect."""
        if self.over:
            return Fate.FINE
        drawn = self.random.random()
        if drawn >= self._any_fate:
            return Fate.FINE
        return next(fate for rate, fate in self._fates if drawn < rate)

    def mishap(self, mishap: Mishap) -> bool:
        """Whether it happens now."""
        if self.over or not self._mishaps[mishap] or self.random.random() >= self._mishaps[mishap]:
            return False
        self.struck[mishap.value] += 1
        return True

    def gateway_fault(self, now: float) -> FaultKind | None:
        """What goes wrong with the next call of the gateway."""
        if self.over:
            return None
        if self.refused_by_gateway.holds(now):
            return FaultKind.UNAUTHORIZED
        if self.gateway_down.holds(now):
            return self.random.choice(self._down_with)
        drawn = self.random.random()
        if drawn < self._altered_rate:
            return FaultKind.ALTERED
        return self.random.choice(self._gateway_kinds) if drawn < self._gateway_rate else None

    def _outage(self, probability: float, lengths: tuple[float, ...]) -> Outage:
        if self.random.random() >= probability:
            return Outage()
        begins = self.random.uniform(0.0, min(self.active_seconds, 300.0))
        return Outage(begins, begins + self.random.choice(lengths) * self.random.uniform(0.5, 1.5))
