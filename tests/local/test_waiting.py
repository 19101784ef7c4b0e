"""A wait of a test says what it waited for and what the last progress was."""

from itertools import chain, count, repeat

import pytest

from tests.waiting import eventually, smallest_so_far


def test_eventually_returns_the_first_wanted_value_and_skips_none() -> None:
    values = iter([None, 0, 3, 5])
    assert eventually("a high number", lambda: next(values), lambda number: number > 2, every=0) == 3


def test_eventually_gives_up_with_what_it_waits_for_and_the_last_value() -> None:
    with pytest.raises(AssertionError, match=r"waiting for the last row: no progress for 0.02 s.*the last was 3"):
        eventually("the last row", lambda: 3, lambda number: number > 3, 0.02, 0.001)


def test_eventually_when_the_read_fails_then_the_error_says_the_same() -> None:
    values = iter([1])
    with pytest.raises(StopIteration) as failed:
        eventually("the last row", lambda: next(values), lambda number: number > 3, every=0)
    assert "waiting for the last row" in failed.value.__notes__[0]
    assert "the last was 1" in failed.value.__notes__[0]


def test_eventually_when_the_value_goes_back_and_forth_then_gives_up() -> None:
    sizes = chain([9, 5], (3 + number % 4 for number in count()))
    with pytest.raises(AssertionError, match=r"the last was .3, 3."):
        eventually(
            "an empty queue",
            lambda: next(sizes),
            lambda size: size == 0,
            seconds=0.05,
            every=0.001,
            progress=smallest_so_far(lambda size: size or 0),
        )


def test_eventually_waits_longer_than_its_seconds_while_there_is_progress() -> None:
    numbers = chain(range(20), repeat(20))
    assert eventually("the twentieth", lambda: next(numbers), lambda number: number == 20, 0.05, 0.01) == 20


def test_eventually_reads_less_often_the_longer_it_waits() -> None:
    reads = count(1)
    with pytest.raises(AssertionError):
        eventually("nothing", lambda: next(reads), lambda _: False, 0.5, 0.001, progress=lambda _: None)
    assert next(reads) < 100
