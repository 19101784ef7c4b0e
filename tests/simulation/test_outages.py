"""An outage of the gateway during a batch and REST traffic, and no other fault: nothing fails before the deadline."""

from collections import Counter
from random import Random

import pytest

from payments.domain.recovery_timeouts import RecoveryTimeouts
from simulation import actors
from simulation.faults import Chaos, Outage
from simulation.report import failure_of
from simulation.run import run

MINUTE, HOUR = 60.0, 3600.0
SEEDS = range(12)


def only_an_outage(patch: pytest.MonkeyPatch, seconds: float) -> None:
    """Let every connection to the gateway be refused for so long from the sixth second on, while requests arrive.

    Recovery runs once a minute, and every five minutes if the outage lasts a day: most of those runs find nothing.
    """
    patch.setattr(actors, "RECOVERY_EVERY_SECONDS", max(MINUTE, seconds / 300))
    draw = Chaos.__init__

    def drawn(self: Chaos, random: Random) -> None:
        draw(self, random)
        self._fates, self._any_fate, self._gateway_rate, self._altered_rate = [], 0.0, 0.0, 0.0
        self._mishaps = dict.fromkeys(self._mishaps, 0.0)
        self.refused_by_gateway = self.gateway_down = self.blackout = self.recovery_stopped = Outage()
        self.active_seconds = MINUTE
        self.connections_refused = Outage(6.0, 6.0 + seconds)
        self.ends_at = self.connections_refused.ends

    patch.setattr(Chaos, "__init__", drawn)


@pytest.mark.fault(86)
@pytest.mark.parametrize("seconds", [3 * MINUTE, HOUR, 25 * HOUR], ids=["3-minutes", "1-hour", "25-hours"])
def test_outage_fails_no_payment_before_its_deadline(seconds: float, monkeypatch: pytest.MonkeyPatch) -> None:
    only_an_outage(monkeypatch, seconds)
    statuses: Counter[str] = Counter()
    for seed in SEEDS:
        verdict = run(seed)
        assert not verdict.violations, failure_of(run(seed, keep_trace=True))  # charged once, all settled, and more
        assert verdict.struck["gateway not_sent"]
        statuses += verdict.statuses
    assert statuses["succeeded"]
    assert bool(statuses["failed"]) is (seconds > RecoveryTimeouts().deadline.total_seconds())
