"""The backend keeps its invariants under all faults of the simulation."""

from collections import Counter

from fakes.gateway import FaultKind
from simulation.faults import Fate, Mishap
from simulation.report import failure_of, time_line
from simulation.run import run

SEEDS = 200


def test_invariants_hold_under_every_kind_of_fault() -> None:
    struck: Counter[str] = Counter()
    statuses: Counter[str] = Counter()
    for seed in range(SEEDS):
        verdict = run(seed)
        assert not verdict.violations, failure_of(run(seed, keep_trace=True))
        struck += verdict.struck
        statuses += verdict.statuses

    kinds = [kind for kind in FaultKind if kind is not FaultKind.ALTERED]  # this one is too rare to require
    expected = {*list(Fate)[1:], *Mishap, *(f"gateway {kind}" for kind in kinds), "blackout"}
    assert {fault for fault in expected if struck[fault] < 20} == set()
    ends = {"succeeded", "declined", "rejected", "failed", "partially_refunded", "refunded"}
    assert {status for status in ends if statuses[status] < 20} == set()


def test_time_line_of_a_replayed_seed_shows_time_actor_call_and_result() -> None:
    verdict = run(1, keep_trace=True)
    line = next(line for line in time_line(verdict, "rest_1") if "payments.create" in line)

    assert line.split() == [*line.split()[:1], "api", "rest_1", "payments.create", "rest_1", "v1", "pending"]
    times = [entry.at for entry in verdict.trace]
    assert times == sorted(times)
