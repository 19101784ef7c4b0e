"""An alarm reads only the points of its periods."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from local.ministack.fixes.cloudwatch.metric_points import _Ordered

TIMES = some.lists(some.integers(0, 9), max_size=8)


def points(times: list[int]) -> list[dict[str, Any]]:
    return [{"Timestamp": float(time), "Value": number} for number, time in enumerate(times)]


@given(TIMES, TIMES, some.integers(-1, 10), some.integers(-1, 10))
def test_points_between_are_those_of_the_period_whenever_they_arrive(
    early: list[int], late: list[int], start: int, end: int
) -> None:
    ordered, source = _Ordered(), points(early)
    for arrived in ([], points(late)):
        source += arrived
        wanted = [point for point in source if start < point["Timestamp"] <= end]
        found = ordered.between(source, start, end)
        assert found == sorted(wanted, key=lambda point: point["Timestamp"])


@pytest.mark.parametrize("kept", [0, 1, 3])
def test_points_that_ministack_has_removed_are_not_found(kept: int) -> None:
    ordered, source = _Ordered(), points([1, 2, 3])
    assert len(ordered.between(source, 0, 9)) == 3
    assert len(ordered.between(source[3 - kept :], 0, 9)) == kept
