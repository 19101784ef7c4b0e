"""Worlds of overload keep their invariants, and find the measures against it when they are removed."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from payments.application import gateway_rate_limiter
from payments.application.backlog import BacklogLimit
from payments.application.batch.dispatch import Dispatcher
from payments.application.gateway_rate_limiter import GatewayRateLimiter, Ticket
from simulation import overload
from simulation.report import failure_of

SEEDS, MOST_SEEDS = 10, 40
Patch = pytest.MonkeyPatch


@pytest.mark.fault(65)
@pytest.mark.fault(66)
def test_invariants_hold_under_overload_of_every_kind() -> None:
    struck: Counter[str] = Counter()
    for seed in range(SEEDS):
        verdict = overload.run(seed)
        assert not verdict.violations, failure_of(verdict)
        struck += verdict.struck
    assert struck.keys() == {"429 of the API", "handed back", "functions throttled"}


def late_ticket_used(patch: Patch) -> None:
    """A ticket is used however late its holder is."""
    patch.setattr(gateway_rate_limiter, "LATE_SECONDS_AT_MOST", 10**6)


def comes_back_every_few_seconds(patch: Patch) -> None:
    """A payment that waits returns, looks at its ticket, and waits again."""
    wait = GatewayRateLimiter.seconds_to_wait
    patch.setattr(GatewayRateLimiter, "seconds_to_wait", lambda self, ticket: min(5, wait(self, ticket)))


def a_ticket_at_each_return(patch: Patch) -> None:
    """A payment takes a new ticket each time, which is at the end of the line."""
    turn = GatewayRateLimiter.take

    def take(self: GatewayRateLimiter, ticket: Ticket | None = None) -> Any:
        return turn(self)

    patch.setattr(GatewayRateLimiter, "take", take)


def accepts_beyond_the_limit(patch: Patch) -> None:
    """No payment is turned away."""
    patch.setattr(BacklogLimit, "check", lambda self, payment_id, store: None)


def waits_without_end(patch: Patch) -> None:
    """A dispatcher waits until it is stopped, and its messages count as delivered."""
    patch.setattr(Dispatcher, "_sleep", lambda self, seconds, *_: self.sleep(seconds))


BUGS: dict[Callable[[Patch], None], set[str]] = {
    late_ticket_used: {"within the gateway's rate"},
    comes_back_every_few_seconds: {"bounded transitions"},
    a_ticket_at_each_return: {"bounded transitions", "all settled", "within the gateway's rate"},
    accepts_beyond_the_limit: {"turned away beyond the limit"},
    waits_without_end: {"all settled", "no dead letters"},
}
"""Planted bug → the invariants that it violates."""
FIRST_SEEDS: dict[Callable[[Patch], None], int] = {waits_without_end: 130}
"""Where the search begins for a bug that few worlds show."""


@pytest.mark.fault(65)
@pytest.mark.parametrize(("plant", "invariants"), BUGS.items(), ids=[bug.__name__ for bug in BUGS])
def test_overload_detects_a_removed_measure(
    plant: Callable[[Patch], None], invariants: set[str], monkeypatch: Patch
) -> None:
    plant(monkeypatch)
    first = FIRST_SEEDS.get(plant, 0)
    verdicts = map(overload.run, range(first, first + MOST_SEEDS))
    found = next(verdict.violations for verdict in verdicts if verdict.violations)
    assert {violation.invariant for violation in found} & invariants, found[:3]
