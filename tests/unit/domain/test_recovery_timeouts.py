"""How long a payment may stay in a status: the table of time-outs."""

from dataclasses import replace
from datetime import timedelta

import pytest

from payments.domain.clock import iso
from payments.domain.due import Due, Kind
from payments.domain.payment import Payment
from payments.domain.recovery_timeouts import RecoveryTimeouts
from payments.domain.statuses import Status
from tests.unit.builders import NOON, after, payment

UNIT = timedelta(minutes=5)
TIMEOUTS = RecoveryTimeouts(UNIT)


def row(*statuses: Status, restarts: int = 0, restarted_at: str = "") -> Payment:
    return replace(after(payment(), *statuses), restarts=restarts, restarted_at=restarted_at)


def first_due(waiting: Payment) -> int:
    """The units since its last change after which the payment is due."""
    units = next(units for units in range(100) if TIMEOUTS.is_due(waiting, NOON + units * UNIT))
    assert not TIMEOUTS.is_due(waiting, NOON + units * UNIT - timedelta(seconds=1))
    return units


@pytest.mark.parametrize(
    ("statuses", "units"),
    [
        ((), 1),
        ((Status.PROCESSING,), 2),
        ((Status.PROCESSING, Status.UNKNOWN), 1),
        ((Status.PROCESSING, Status.REQUIRES_ACTION), 3),
        ((Status.PROCESSING, Status.IN_REVIEW), 1),
        ((Status.PROCESSING, Status.SUCCEEDED), 2),
    ],
)
def test_is_due_without_restarts_after_the_first_wait_of_its_status(statuses: tuple[Status, ...], units: int) -> None:
    assert first_due(row(*statuses)) == units


@pytest.mark.fault(12)
def test_is_due_never_before_the_time_that_the_gateway_requests() -> None:
    waiting = replace(payment(), not_before=iso(NOON + timedelta(days=1)))
    assert not TIMEOUTS.is_due(waiting, NOON + timedelta(days=1) - timedelta(seconds=1))
    assert TIMEOUTS.is_due(waiting, NOON + timedelta(days=1))


def test_is_due_doubles_the_wait_per_restart_up_to_an_hour() -> None:
    assert [first_due(row(restarts=restarts)) for restarts in range(6)] == [1, 2, 4, 8, 12, 12]
    assert first_due(row(restarts=1000)) == 12


def test_is_due_when_restarted_since_then_the_wait_counts_from_there() -> None:
    waiting = row(restarts=1, restarted_at=iso(NOON + 10 * UNIT))
    assert not TIMEOUTS.is_due(waiting, NOON + 12 * UNIT - timedelta(seconds=1))
    assert TIMEOUTS.is_due(waiting, NOON + 12 * UNIT)


ORDINARY: list[tuple[Status, ...]] = [(), (Status.PROCESSING,), (Status.PROCESSING, Status.SUCCEEDED)]


@pytest.mark.parametrize("statuses", ORDINARY)
def test_due_of_an_ordinary_payment_never_moves_in_the_index(statuses: tuple[Status, ...]) -> None:
    assert TIMEOUTS.due(row(*statuses), NOON + timedelta(seconds=1)) == Due(Kind.PENDING, iso(NOON + UNIT))


@pytest.mark.parametrize("statuses", ORDINARY[1:])
def test_due_of_a_payment_that_is_looked_at_is_its_own_time(statuses: tuple[Status, ...]) -> None:
    assert TIMEOUTS.due(row(*statuses), NOON + UNIT) == Due(Kind.OPEN, iso(NOON + 2 * UNIT))
    assert TIMEOUTS.due(replace(row(*statuses), source="batch"), NOON) == Due(Kind.OPEN, iso(NOON + 2 * UNIT))


def test_waits_with_the_default_unit_match_the_docs() -> None:
    assert RecoveryTimeouts().unit == UNIT
    assert RecoveryTimeouts().proof == timedelta(minutes=10)
    assert RecoveryTimeouts().authentication == timedelta(days=1)
    assert RecoveryTimeouts().overdue == timedelta(hours=1)


def test_proof_when_compared_with_the_gateways_lag_then_longer() -> None:
    """Search lags by up to a minute, usually (docs.stripe.com/search#data-freshness)."""
    assert RecoveryTimeouts().proof > 5 * timedelta(minutes=1)
