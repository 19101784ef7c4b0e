"""The faults of a run: which kinds, how often, and until when. All of it is derived from the seed."""

from collections import Counter
from dataclasses import dataclass
from enum import StrEnum
from random import Random

from fakes.gateway import FaultKind


class Fate(StrEnum):
    """The fate of one effect."""

    FINE = "fine"
    CRASH_BEFORE = "crash before"
    """The function crashes before the effect."""
    CRASH_AFTER = "crash after"
    """The effect happens, and the function crashes before it gets the result."""
    REFUSED = "refused"
    """Throttled: an exception without an effect."""
    ANSWER_LOST = "answer lost"
    """The effect happens, but the caller gets an exception."""
    REPEATED = "repeated"
    """The SDK got no answer and sent the request again: the effect happens twice, and the second answer counts."""


class Mishap(StrEnum):
    """Faults around functions, messages and people."""

    LATE_START = "late start"
    """A function starts seconds after it was called. Its caller may give up while it still runs."""
    CALL_LOST = "call lost"
    """The caller gets an error while the function continues to run: a zombie."""
    DOUBLED = "doubled"
    """An event, a message or a request arrives twice."""
    LOST = "lost"
    """A webhook is never delivered, or a client gets no answer."""
    STALL = "stall"
    """A function pauses for a long time between two effects."""
    SLOW_GATEWAY = "slow gateway"
    """A request to the gateway takes many seconds."""


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


NEVER_SHOWN_SECONDS = 10 * 365 * 86_400.0
"""The lag of a search that shows nothing of what a run charges."""
_HOW_OFTEN = (0.02, 0.1, 0.1, 0.4)
"""How often a mishap happens in a run with it. In some runs it is almost every other time, so that mishaps meet."""


@dataclass(frozen=True, slots=True)
class Outage:
    """The start and end of an outage in virtual seconds."""

    begins: float = 0.0
    ends: float = 0.0

    def holds(self, now: float) -> bool:
        """Whether the outage is active."""
        return self.begins <= now < self.ends


class Chaos:
    """The faults of one run. Each kind occurs only in some runs, so that rare faults also meet others."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.struck: Counter[str] = Counter()
        self.over = False
        wildness = random.choice((0.0, 0.3, 0.6, 1.0, 1.0))
        # faults end here, so that the system can come to rest
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
        if random.random() < 0.2:  # a storm: the network breaks calls, and the gateway is slow and rejects requests
            self._mishaps |= dict.fromkeys((Mishap.CALL_LOST, Mishap.SLOW_GATEWAY, Mishap.LATE_START), 0.5)
            self._gateway_kinds = list(_WHEN_DOWN)
            self._gateway_rate = 0.4
        self._altered_rate = 0.02 if random.random() < 0.1 else 0.0
        self.search_lag_seconds = random.choice((0.0, 5.0, 60.0, 3600.0, NEVER_SHOWN_SECONDS))
        self.index_lag_seconds = random.choice((0.0, 0.0, 1.0, 4.0))
        self.refused_by_gateway = self._outage(0.25, (30.0, 400.0, 2000.0))
        self.gateway_down = self._outage(0.3, (20.0, 120.0, 1500.0))
        self._down_with = random.sample(_WHEN_DOWN, random.randint(1, 3))
        self.blackout = self._outage(0.12, (400.0, 8000.0, 90_000.0))
        self.recovery_stopped = self._outage(0.2, (400.0, 8000.0, 90_000.0))
        lengths = (180.0, 180.0, 900.0, 3600.0, 3600.0, 90_000.0)
        # drawn apart, so that a seed keeps the world that it had before this outage existed
        self.connections_refused = self._outage(0.1, lengths, Random(f"{random.getstate()[1][:3]}"))  # noqa: S311
        outages = (
            self.refused_by_gateway,
            self.gateway_down,
            self.blackout,
            self.recovery_stopped,
            self.connections_refused,
        )
        self.ends_at = max(self.active_seconds, *(outage.ends for outage in outages))

    def fate(self) -> Fate:
        """The fate of the next effect."""
        if self.over:
            return Fate.FINE
        drawn = self.random.random()
        if drawn >= self._any_fate:
            return Fate.FINE
        return next(fate for rate, fate in self._fates if drawn < rate)

    def mishap(self, mishap: Mishap) -> bool:
        """Whether the mishap happens now."""
        if self.over or not self._mishaps[mishap] or self.random.random() >= self._mishaps[mishap]:
            return False
        self.struck[mishap.value] += 1
        return True

    def gateway_fault(self, now: float) -> FaultKind | None:
        """The fault of the next gateway call, or None."""
        if self.over:
            return None
        if self.connections_refused.holds(now):
            return FaultKind.NOT_SENT
        if self.refused_by_gateway.holds(now):
            return FaultKind.UNAUTHORIZED
        if self.gateway_down.holds(now):
            return self.random.choice(self._down_with)
        drawn = self.random.random()
        if drawn < self._altered_rate:
            return FaultKind.ALTERED
        return self.random.choice(self._gateway_kinds) if drawn < self._gateway_rate else None

    def _outage(self, probability: float, lengths: tuple[float, ...], random: Random | None = None) -> Outage:
        random = random or self.random
        if random.random() >= probability:
            return Outage()
        begins = random.uniform(0.0, min(self.active_seconds, 300.0))
        return Outage(begins, begins + random.choice(lengths) * random.uniform(0.5, 1.5))
