"""The deadline of payments that were provably not charged, and when its clock stands."""

from datetime import datetime, timedelta

import pytest

from payments.domain.batch.switch import MOST_PAUSES, Switch, SwitchState
from payments.domain.batch_breaker import BreakerState, Pause, PausedBy
from payments.domain.clock import iso
from payments.domain.deadline import deadline_of, first_refused_at, is_missed
from payments.domain.payment import SENDER, Payment, moved
from payments.domain.statuses import Status
from tests.unit.builders import NOON, payment

DAY, HOUR = timedelta(days=1), timedelta(hours=1)
RUNNING = BreakerState()


def refused(at: datetime, row: Payment | None = None, code: str = "gateway_unreachable") -> Payment:
    """A payment whose request was provably not sent."""
    sent = moved(row or payment(), Status.PROCESSING, at=at, actor=SENDER)
    return moved(sent, Status.PENDING, at=at, actor=SENDER, code=code)


def reviewed(row: Payment, begins: datetime, ends: datetime) -> Payment:
    """A payment that was held for review in between."""
    held = moved(row, Status.IN_REVIEW, at=begins, actor="workflow")
    return moved(held, Status.PENDING, at=ends, actor="operator:jane")


def paused(*pauses: tuple[float, float]) -> BreakerState:
    """A breaker that operators paused for these hours."""
    return BreakerState(pauses=tuple(Pause(iso(NOON + begin * HOUR), iso(NOON + end * HOUR)) for begin, end in pauses))


@pytest.mark.parametrize("code", ["gateway_unreachable", "rate_limit", "lock_timeout", "resource_rate_limit"])
def test_deadline_counts_from_the_first_refusal(code: str) -> None:
    row = refused(NOON + 3 * HOUR, refused(NOON, code=code))
    assert first_refused_at(row) == NOON
    assert deadline_of(row, DAY, RUNNING) == NOON + DAY
    assert not is_missed(row, DAY, RUNNING, NOON + DAY - HOUR)
    assert is_missed(row, DAY, RUNNING, NOON + DAY)


def test_payment_that_was_never_refused_has_no_deadline() -> None:
    held = moved(payment(), Status.PENDING, at=NOON, actor="workflow", code="gateway_unreachable")
    for row in (payment(), held, refused(NOON, code="gateway_key_refused")):
        assert deadline_of(row, DAY, RUNNING) is None


def test_payment_that_may_be_sent_misses_no_deadline() -> None:
    row = moved(refused(NOON), Status.PROCESSING, at=NOON, actor=SENDER)
    assert not is_missed(row, DAY, RUNNING, NOON + 9 * DAY)


@pytest.mark.parametrize(
    ("breaker", "later"),
    [
        (paused((1, 3)), 2),
        (paused((-5, -1)), 0),
        (paused((-5, 2)), 2),
        (paused((1, 3), (2, 5)), 4),
        (paused((1, 5), (2, 3)), 4),
        (paused((23, 25), (25, 26)), 3),
        (paused((24, 30)), 0),
        (paused((25, 30)), 0),
    ],
)
def test_deadline_stands_still_while_an_operator_pauses(breaker: BreakerState, later: int) -> None:
    assert deadline_of(refused(NOON), DAY, breaker) == NOON + DAY + later * HOUR


def test_deadline_is_none_during_a_pause_that_began_before_it() -> None:
    breaker = BreakerState(PausedBy.OPERATOR, "maintenance", iso(NOON + HOUR))
    assert deadline_of(refused(NOON), DAY, breaker) is None
    late = BreakerState(PausedBy.OPERATOR, "maintenance", iso(NOON + DAY))
    assert deadline_of(refused(NOON), DAY, late) == NOON + DAY


@pytest.mark.fault(86, 89)
def test_deadline_stands_still_while_the_batch_of_a_payment_is_paused() -> None:
    batch = Switch().turned(SwitchState.PAUSED, "admin:jo", iso(NOON + HOUR))
    assert deadline_of(refused(NOON), DAY, RUNNING, batch) is None
    assert not is_missed(refused(NOON), DAY, RUNNING, NOON + 9 * DAY, batch)
    batch = batch.turned(SwitchState.RUNNING, "admin:jo", iso(NOON + 3 * HOUR))
    assert deadline_of(refused(NOON), DAY, RUNNING, batch) == NOON + DAY + 2 * HOUR
    assert deadline_of(refused(NOON), DAY, paused((2, 5)), batch) == NOON + DAY + 4 * HOUR
    assert is_missed(refused(NOON), DAY, RUNNING, NOON + DAY + 2 * HOUR, batch)


def test_switch_remembers_its_latest_pauses_only() -> None:
    switch = Switch()
    for hour in range(2 * MOST_PAUSES + 2):
        state = SwitchState.RUNNING if hour % 2 else SwitchState.PAUSED
        switch = switch.turned(state, "admin:jo", iso(NOON + hour * HOUR))
    assert len(switch.pauses) == MOST_PAUSES
    last = 2 * MOST_PAUSES + 1
    assert switch.pauses[-1] == Pause(iso(NOON + (last - 1) * HOUR), iso(NOON + last * HOUR))
    assert switch.turned(SwitchState.CANCELED, "admin:jo", "").pauses == switch.pauses


@pytest.mark.parametrize("by", [PausedBy.GATEWAY, PausedBy.OUTAGE])
def test_deadline_runs_on_while_the_gateway_pauses(by: PausedBy) -> None:
    assert deadline_of(refused(NOON), DAY, BreakerState(by, "no connection", iso(NOON))) == NOON + DAY


def test_deadline_stands_still_while_the_payment_is_held_for_review() -> None:
    row = reviewed(refused(NOON), NOON + HOUR, NOON + 4 * HOUR)
    assert deadline_of(row, DAY, RUNNING) == NOON + DAY + 3 * HOUR
    assert deadline_of(row, DAY, paused((2, 5))) == NOON + DAY + 4 * HOUR
