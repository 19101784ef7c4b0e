"""Questions about a charge, within the clients' share of the gateway's rate."""

from datetime import timedelta

import pytest

from fakes.gateway import MemoryGateway
from fakes.limits import MemoryLimitStore
from payments.application.client_requests import REQUESTS_PER_SECOND
from payments.application.rate_limited_charge_finder import WAITS_AT_MOST, RateLimitedChargeFinder
from payments.domain.errors import RateLimited
from tests.unit.builders import NOON


class FinderScenario:
    """A clock that only a sleep advances."""

    def __init__(self) -> None:
        self.now = NOON
        self.slept = 0
        self.limits = MemoryLimitStore()
        self.finder = RateLimitedChargeFinder(MemoryGateway(), self.limits, lambda: self.now, self.sleep)

    def sleep(self, seconds: float) -> None:
        self.slept += 1
        self.now += timedelta(seconds=seconds)

    def use_up_the_slots(self, seconds: int) -> None:
        """Other callers take the slots of so many seconds."""
        for second in range(seconds):
            ends = NOON + timedelta(seconds=second + 1)
            for _ in range(REQUESTS_PER_SECOND):
                self.limits.count(f"client_requests#{ends:%Y-%m-%dT%H:%M:%S}", ends)


def test_a_question_without_a_slot_does_not_wait() -> None:
    scenario = FinderScenario()
    scenario.use_up_the_slots(1)
    with pytest.raises(RateLimited):
        scenario.finder.find("pay_1")
    assert scenario.slept == 0


@pytest.mark.parametrize("busy", [0, 1, WAITS_AT_MOST])
def test_a_page_of_the_list_waits_for_a_slot(busy: int) -> None:
    scenario = FinderScenario()
    scenario.use_up_the_slots(busy)
    assert scenario.finder.listed(NOON, NOON).charges == ()
    assert scenario.slept == busy


def test_a_page_of_the_list_waits_three_seconds_at_most() -> None:
    scenario = FinderScenario()
    scenario.use_up_the_slots(WAITS_AT_MOST + 1)
    with pytest.raises(RateLimited):
        scenario.finder.listed(NOON, NOON)
    assert scenario.slept == WAITS_AT_MOST
