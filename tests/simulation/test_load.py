"""Load in virtual time: the gateway's rate is used and never exceeded, and the work of a waiting payment is bounded."""

from math import ceil

import pytest

from payments.application import gateway_rate_limiter
from simulation.load import Load

RATE = 5


@pytest.mark.fault(65)
@pytest.mark.fault(66)
def test_rest_at_three_times_the_limit_costs_bounded_work_a_payment() -> None:
    """For ten minutes, with a batch in the queue and recovery once a minute."""
    load = Load(RATE, backlog_limit_seconds=60, lost_cards=0.05)
    load.recover()
    load.batch(100)
    load.rest(3 * RATE, seconds=600)
    load.run(600)
    assert load.counts["429 of the gateway"] == 0
    assert load.dead_letters == []
    assert load.counts["handed back"] > 0
    assert load.counts["restarts"] == 0
    takes = load.per_payment
    assert takes["executions"] == 1
    assert takes["most transitions"] <= 7 + 2 * 3  # a declined card waits twice: Wait, Charge and MustItWait each time
    assert takes["data keys"] <= 1.2
    assert load.share_of_slots(60, 600) >= 0.99
    assert load.counts["429 of the API"] > 0


@pytest.mark.fault(65)
def test_slots_are_used_while_a_batch_runs_and_rest_payments_come() -> None:
    load = Load(rate=25)
    load.batch(1_500)
    load.rest(5, seconds=60)
    load.run(60)
    assert load.counts["429 of the gateway"] == 0
    assert load.share_of_slots(10, 60) >= 0.95
    latencies = sorted(load.latencies())
    assert latencies[ceil(0.99 * len(latencies)) - 1] < 1


def throttled(rate: int = 25) -> Load:
    """Lambda starts no function for ten seconds. All tickets of that time return at once."""
    load = Load(rate, backlog_limit_seconds=30, throttled=(20, 30))
    load.rest(3 * rate, seconds=45)
    load.run(45)
    return load


@pytest.mark.fault(65)
@pytest.mark.parametrize("rate", [5, 10, 25])
def test_tickets_missed_while_functions_are_throttled_do_not_come_together(rate: int) -> None:
    assert throttled(rate).counts["429 of the gateway"] == 0


def test_planted_bug_late_ticket_used_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gateway_rate_limiter, "LATE_SECONDS_AT_MOST", 10**6)
    assert throttled().counts["429 of the gateway"] > 0
