"""The benchmark of recovery, with few payments: virtual time alone decides."""

import pytest

from local.bench.recovery import OTHERS, measure


@pytest.mark.fault(60)
def test_recovery_asks_about_all_waiting_payments_at_the_gateways_rate() -> None:
    measured = measure(3_000)
    assert (measured.asked, measured.late) == (3_000, 0)
    assert measured.a_second > 22
    assert OTHERS == 100
    assert max(measured.others.values()) < 1
