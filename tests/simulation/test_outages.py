"""An outage of the gateway during a batch and REST traffic, and no other fault: nothing fails before the deadline."""

from collections import Counter
from dataclasses import replace
from functools import partial
from random import Random

import pytest

from fakes.gateway import Fault, FaultKind, MemoryGateway
from payments.application import hold, recover
from payments.domain.batch.switch import SwitchState
from payments.domain.deadline import is_missed
from payments.domain.recovery_timeouts import RecoveryTimeouts
from simulation import actors
from simulation.actors import Actors
from simulation.faults import Chaos, Outage
from simulation.report import failure_of
from simulation.run import run
from simulation.work import Upload, source_of

MINUTE, HOUR = 60.0, 3600.0
SEEDS = range(12)


REFUSED = ()
FAILS = (FaultKind.SERVER_ERROR, FaultKind.ANSWER_LOST)
LIMITED = (FaultKind.RATE_LIMITED,)


def only_an_outage(patch: pytest.MonkeyPatch, seconds: float, kinds: tuple[FaultKind, ...] = REFUSED) -> None:
    """Let every connection to the gateway be refused for so long from the sixth second on, while requests arrive; with
    `kinds`, let each call get one of these answers instead. A limit is that of the whole account.

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
        lasts = Outage(6.0, 6.0 + seconds)
        self.connections_refused, self.gateway_down = (Outage(), lasts) if kinds else (lasts, Outage())
        self._down_with = list(kinds)
        self.ends_at = lasts.ends

    def of_the_account(self: MemoryGateway, fault: Fault) -> None:
        fail(self, replace(fault, account_wide=fault.kind is FaultKind.RATE_LIMITED))

    fail = MemoryGateway.fail
    patch.setattr(Chaos, "__init__", drawn)
    patch.setattr(MemoryGateway, "fail", of_the_account)


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


@pytest.mark.fault(12, 86)
@pytest.mark.parametrize("seconds", [HOUR, 25 * HOUR], ids=["1-hour", "25-hours"])
def test_limited_account_fails_no_payment_before_its_deadline(seconds: float, monkeypatch: pytest.MonkeyPatch) -> None:
    only_an_outage(monkeypatch, seconds, LIMITED)  # a 429 charged nothing: the payments stay pending
    statuses: Counter[str] = Counter()
    for seed in SEEDS[:6]:
        verdict = run(seed)
        assert not verdict.violations, failure_of(run(seed, keep_trace=True))
        assert verdict.struck["gateway rate_limited"]
        statuses += verdict.statuses
    assert statuses["succeeded"]
    assert bool(statuses["failed"]) is (seconds > RecoveryTimeouts().deadline.total_seconds())


@pytest.mark.fault(86)
@pytest.mark.parametrize("seconds", [3 * MINUTE, HOUR], ids=["3-minutes", "1-hour"])
def test_failing_gateway_charges_none_twice_and_loses_none(seconds: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each call may have charged: the payment is asked about, and fails only if the list proves that it was not
    charged. What was not sent stays pending. The invariants hold all this."""
    only_an_outage(monkeypatch, seconds, FAILS)
    struck: Counter[str] = Counter()
    for seed in SEEDS[:6]:
        verdict = run(seed)
        assert not verdict.violations, failure_of(run(seed, keep_trace=True))
        assert verdict.statuses["succeeded"]
        struck += verdict.struck
    assert struck["gateway server_error"]
    assert struck["gateway answer_lost"]


def paused_for_hours(patch: pytest.MonkeyPatch) -> None:
    """An admin pauses each file for two hours of the outage."""
    upload_file = Actors._uploader

    def pauses(self: Actors, batch_id: str) -> None:
        sleep = self.world.scheduler.sleep
        sleep(HOUR)
        self._answer("switch", {"batch_id": batch_id, "state": SwitchState.PAUSED.value}, batch_id)
        sleep(2 * HOUR)
        while self.world.batches.switch_of(batch_id).is_paused:
            self._answer("switch", {"batch_id": batch_id, "state": SwitchState.RUNNING.value}, batch_id)
            sleep(MINUTE)

    def uploads(self: Actors, upload: Upload) -> None:
        self.world.scheduler.spawn("admin", partial(pauses, self, source_of(upload).batch_id))
        upload_file(self, upload)

    patch.setattr(Actors, "_uploader", uploads)
    patch.setattr(Actors, "_switches", lambda self, upload: None)


@pytest.mark.fault(86, 89)
def test_pause_of_a_file_stops_the_deadline_of_its_payments(monkeypatch: pytest.MonkeyPatch) -> None:
    only_an_outage(monkeypatch, 27 * HOUR)
    paused_for_hours(monkeypatch)
    for seed in range(3, 6):
        verdict = run(seed)
        assert verdict.statuses["failed"]
        assert not verdict.violations, failure_of(run(seed, keep_trace=True))


@pytest.mark.fault(86, 89)
def test_simulation_detects_a_deadline_that_ignores_a_files_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    only_an_outage(monkeypatch, 27 * HOUR)
    paused_for_hours(monkeypatch)
    for module in (hold, recover):
        monkeypatch.setattr(module, "is_missed", lambda *facts: is_missed(*facts[:4]))
    found = next(verdict.violations for verdict in map(run, range(3, 60)) if verdict.violations)
    assert {violation.invariant for violation in found} == {"failed at the deadline"}
